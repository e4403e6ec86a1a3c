"""Responses that loop: a word, a phrase, a line or a paragraph over and over, some after a good beginning."""

from __future__ import annotations

from benchmarks.planted import Planted, numbered

LOOPS = [
    "The best time to plant garlic is" + " in the autumn," * 40,
    "Here is the list:\n" + "- apples\n" * 35,
    "no " * 120,
    "Sure! " * 50,
    "The castle was built by the duke. " * 25,
    "To start, open the settings and pick a language. Then press OK. "
    + "Then press OK and wait for the light to turn green. " * 18,
    "A good walk clears the head, and" + " and and" * 45,
    "1. Wash the rice.\n2. Boil the water.\n" + "3. Stir the pot and wait for a minute.\n" * 20,
    "ha" * 200,
    "=" * 30 + "\n" + "Thank you for reading. I hope this helps! " * 16,
    "The answer is 14.\n\n" + "Explanation: we add seven and seven.\n\n" * 22,
    "for i in range(10):\n    print(i)\n" * 24,
    "".join(f"Step {i}: Repeat the previous step until the dough is smooth and elastic.\n" for i in range(1, 30)),
    "".join(f"{i}. Be kind to yourself and others.\n" for i in range(1, 41)),
    "I think that the poem is about loss. The poem is about loss and memory. " * 14,
    "Dear Sir,\n\nI am writing to ask about the flat.\nKind regards,\nAnna\n\n" * 12,
    "\\begin{align} x &= 1 \\end{align}\n" * 26,
    "She walked to the door, opened it, and walked to the door, opened it, and " * 15,
    "Bees dance to tell each other where the flowers are. The dance has two forms. "
    + "In the first form the bee turns in a circle. In the second form the bee turns in a circle. " * 10,
    "yes yes yes " * 60,
    "Q: What colour is it?\nA: It is blue.\n" * 20,
    "| a | b |\n| --- | --- |\n" + "| 1 | 2 |\n" * 45,
    "The moon is bright tonight, my love, " * 22 + "the moon",
    "First, the history. Tin was mined here before the Romans came, and the shafts run under the sea. "
    "They closed in 1919. " + "The mine, the mine, the mine is closed. " * 20,
    "http://example.org/a " * 40,
]

ITEMS: list[Planted] = numbered("held-repetition", LOOPS, "repetition")
