"""Short documents in eight other languages, and in English with foreign words in it."""

from __future__ import annotations

from benchmarks.planted import Planted, numbered
from benchmarks.planted.held_out.reading import lines

OTHER = {
    "de": lines("""
Gestern hat es den ganzen Tag geregnet, also haben wir endlich den Keller aufgeräumt. Dabei ist die alte \
Schreibmaschine meines Onkels aufgetaucht, und sie funktioniert noch.
Kann mir jemand sagen, warum mein Rasenmäher nach zehn Minuten einfach ausgeht? Zündkerze ist neu.
Sehr geehrte Damen und Herren, hiermit kündige ich meinen Vertrag zum nächstmöglichen Zeitpunkt und bitte um eine \
schriftliche Bestätigung.
Das Essen war gut, die Bedienung leider nicht. Wir warteten fast eine Stunde auf die Suppe.
Wer hat Erfahrung mit Wärmepumpen im Altbau? Unser Haus ist von 1912, die Fenster sind neu, das Dach nicht.
"""),
    "fr": lines("""
Je cherche un bon livre sur l'histoire des chemins de fer en Bretagne, plutôt pour le grand public. Merci d'avance !
On a marché quatre heures sous la pluie pour trouver le refuge fermé. Le chien, lui, était ravi.
Pour la pâte, mélangez la farine et le beurre froid du bout des doigts, ajoutez un œuf et laissez reposer une heure \
au frais.
Bonjour, mon colis devait arriver mardi et je n'ai toujours rien reçu. Pouvez-vous vérifier l'adresse ?
Franchement, le deuxième film est meilleur que le premier, même si la fin est un peu longue.
"""),
    "es": lines("""
Mi abuela tenía una tienda de telas en la plaza y conocía a todo el pueblo por el color de sus cortinas.
¿Alguien sabe cómo quitar manchas de cera de un mantel de lino? He probado con la plancha y no sale.
Buenos días, les escribo porque la factura de mayo está equivocada: me han cobrado dos veces el mismo servicio.
El partido empezó tarde, llovió a cántaros y perdimos, pero lo pasamos estupendamente.
Se pelan las patatas, se cortan muy finas y se fríen despacio, sin que lleguen a dorarse. Luego se mezclan con el \
huevo.
"""),
    "it": lines("""
Ho comprato una bicicletta usata e il cambio salta ogni volta che salgo di marcia. Da dove comincio?
La mia vicina suona il pianoforte tutte le mattine alle sette. È bravissima, ma io lavoro di notte.
Gentile redazione, nell'articolo di domenica avete scritto che il ponte è del Seicento; in realtà fu ricostruito \
dopo la guerra.
Fate rosolare la cipolla, aggiungete i pomodori e lasciate cuocere a fuoco basso per almeno quaranta minuti.
Qualcuno conosce un sentiero facile vicino al lago, adatto ai bambini piccoli?
"""),
    "nl": lines("""
Wij zoeken een tweedehands bakfiets in de buurt van Utrecht, het liefst met een regenhuif.
Mijn dochter heeft gisteren voor het eerst zonder zijwieltjes gefietst. Ze was zo trots dat ze niet meer wilde \
stoppen.
Weet iemand hoe je een vastgeroeste bout loskrijgt zonder de fiets te beschadigen?
Geachte heer, de verwarming in ons appartement doet het al een week niet en het wordt koud.
Het boek begint traag, maar na een pagina of vijftig kon ik het niet meer wegleggen.
"""),
    "pt": lines("""
Alguém me pode dizer se vale a pena visitar o museu numa segunda-feira? No sítio deles não encontro o horário.
A minha mãe faz o melhor arroz-doce do bairro e nunca quis dar a receita a ninguém.
Comprei um portátil há duas semanas e a bateria já não carrega. A loja diz que a culpa é minha.
Não percebo por que razão o autocarro deixou de parar na nossa rua; ninguém avisou os moradores.
Choveu a noite toda, mas de manhã o céu estava limpo e fomos à praia.
"""),
    "pl": lines("""
Szukam dobrego przepisu na żurek, najlepiej takiego, który nie wymaga własnego zakwasu.
Wczoraj zepsuła mi się pralka i cała łazienka była pod wodą. Czy ubezpieczenie to pokryje?
Nasz kot zniknął w piątek wieczorem. Jest rudy, ma białe łapki i boi się obcych.
Pierwszy tom był świetny, drugi trochę gorszy, a trzeciego nie skończyłem.
Dzień dobry, chciałabym przełożyć wizytę z czwartku na przyszły tydzień. Czy to możliwe?
"""),
    "sv": lines("""
Vi har hyrt en stuga i Dalarna över midsommar och undrar vad man bör ta med sig mot myggen.
Min cykel blev stulen utanför biblioteket i går kväll. Den är grön och har en korg där fram.
Hur länge ska degen jäsa om det är kallt i köket? Jag har väntat i två timmar och ingenting händer.
Jag läste boken på en enda natt, och sedan kunde jag inte sova för att jag tänkte på slutet.
Hej, jag har inte fått någon bekräftelse på min beställning. Kan ni se om den har kommit fram?
"""),
}

ENGLISH = lines("""
Thanks, that worked.
Any ideas?
How long do I boil an egg?
Best pho in town, hands down.
Still broken after the update.
Could not agree more with the above.
Where did you buy the curtains?
My boeuf bourguignon always turns out grey. I brown the meat in batches, I use a decent Burgundy. Is it the bouquet \
garni?
"Je ne regrette rien," she sang at karaoke, and then regretted it for a week.
We had pastéis de nata for breakfast, bacalhau à brás for lunch and did not eat again until Tuesday.
Is it "Schadenfreude" if you feel sorry as well?
The sign said "Betreten verboten", so of course my brother stepped over it.
Recipe: saltimbocca alla romana. Veal, prosciutto, sage. That's all, and no flour whatever the internet says.
Visited Łódź and Wrocław last autumn. The trams are wonderful, and my attempts at saying "dziękuję" made everyone \
happy.
What is the difference between crème fraîche and sour cream when you bake?
El Niño years bring us more rain, La Niña years bring us more arguments about rain.
Selling two tickets for Così fan tutte on Saturday. Row F.
Our dog answers to "hierher" because we got her from a German couple. She ignores "come here" as a matter of \
principle.
Lagom, hygge, friluftsliv: every year a new Nordic word sells candles to the English.
Anyone else getting error 0x80070005 on install?
Fold the dough, wait, fold again.
I passed!!!
No.
Yes, and the receipt too.
The inscription reads "Hic iacet Thomas de Wyke, cuius anime propicietur deus", and the date is worn away.
I've been learning Spanish for a year and still can't hear the difference between "perro" and "pero" when people \
speak fast.
She signs her mails "Mit freundlichen Grüßen" although she's from Leeds.
Pros: light, quiet, cheap. Cons: ugly.
Depth 40 cm, width 80 cm, height 72 cm, oak, one drawer.
Why do cats knead?
Took the 6.10 from Perpignan to Portbou, then a bus to Figueres, then feet.
My favourite haiku is Bashō's frog: "furuike ya / kawazu tobikomu / mizu no oto". The pond, the frog, the sound.
Does "al dente" mean the same thing for risotto?
Kitchen floor is wet again. It's not the dishwasher, it's not the sink. Send help.
He plays Chopin, Szymanowski and Lutosławski as though they'd been neighbours.
I ordered the moules marinières, my wife the coq au vin, and our daughter chips.
On the naming of boats: ours is Schöne Aussicht, which the harbourmaster writes as Shona.
Nice photo! Which lens?
The minister of the Länder and the president of the Bundesrat met in Mainz on Friday to discuss the railways.
Bring a coat.
Is there a way to sort a list of tuples by the second item?
print("hello") works but print "hello" doesn't, why?
Tempranillo, Garnacha, Monastrell: a beginner's guide to Spanish reds that cost less than a pizza.
We named the twins Søren and Zoë and now nothing with a form works.
Lost: one grey mitten, left hand, near the duck pond.
Why is the sky dark at night if there are stars in every direction?
Try turning it off and on.
Her doctoral thesis was on the "sertão" in the novels of Guimarães Rosa, and she'll tell you about it if you let her.
"Carpe diem" is about picking fruit, by the way, not about seizing anything.
What a goal.
I need a gluten-free version of Käsespätzle for a party of twelve, half of whom will pretend not to notice.
Rain stopped play at 14:20 with the score at 211 for 4.
Moved from Gdańsk to Bristol ten years ago and I still put dill on everything.
The chorus is in Italian: "Va, pensiero, sull'ali dorate", and even people who don't speak a word cry at it.
ok so update: he said yes
Refund still not received.
The coffee here is a galão, not a latte, and you will be corrected.
The third chapter drags; skip to the trial.
Two adults, one child, return to Whitby, please.
Whoever left a bag of courgettes on our step: thank you, and please stop.
""")

ITEMS: list[Planted] = [
    *(item for name, texts in OTHER.items() for item in numbered(f"held-{name}", texts, "language")),
    *numbered("held-english", ENGLISH),
]
