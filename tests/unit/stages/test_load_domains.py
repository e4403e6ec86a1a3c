import pytest
from pydantic import ValidationError

from stages.sources.load_domains import LoadDomains, LoadDomainsConfig


def test_domains_come_in_the_order_of_the_recipe():
    stage = LoadDomains(LoadDomainsConfig(domains=["sailing", " home cooking "]))
    (batch,) = stage.read("domains")
    assert batch.to_pylist() == [{"domain": "sailing"}, {"domain": "home cooking"}]
    assert stage.digest() == {"domains": ["sailing", "home cooking"]} and stage.partitions() == ["domains"]


@pytest.mark.parametrize(
    ("domains", "text"),
    [([], "at least 1"), (["a", " "], "empty"), (["Sailing", "sailing "], "more than once: Sailing, sailing")],
)
def test_empty_and_repeated_domains_are_refused(domains, text):
    with pytest.raises(ValidationError, match=text):
        LoadDomainsConfig(domains=domains)
