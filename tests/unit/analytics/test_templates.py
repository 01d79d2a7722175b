from meshwise.analytics.templates import learn


def test_identifiers() -> None:
    """A segment of many values after the same beginning is an identifier, wherever it is."""
    routes = [f"/items/{i}/stock" for i in range(100)] + [f"/users/{i}/orders/{i * 7}" for i in range(100)]
    assert learn(routes) == ("/items/{id}/stock", "/users/{id}/orders/{id}")


def test_few_values_are_names() -> None:
    """What takes only some values stays as it is, and comes before what fits anything."""
    routes = ["/cart", "/checkout", *(f"/v{i}/status" for i in range(3)), *(f"/items/{i}" for i in range(30))]
    assert learn(routes) == ("/cart", "/checkout", "/v0/status", "/v1/status", "/v2/status", "/items/{id}")


def test_the_most_used_are_kept() -> None:
    """Of too many templates those with most routes are kept; what is no route or endless is left out."""
    routes = [f"/a{i}/{j}" for i in range(10) for j in range(30 + i)]
    assert learn(["", "/" * 40, *routes], most=2) == ("/a8/{id}", "/a9/{id}")
    assert learn([]) == ()
