#!/usr/bin/env python3
"""Opens a report's page from disk in Chromium, without a network, and uses it. usage: page.py INDEX.HTML CHROMIUM [SCREENSHOT-PREFIX]

Fails on any message of the console, any request besides the file itself, a figure that does not show, a table that does not sort or
filter, or content wider than the screen, on a desktop and on a phone, light and dark.
"""
import pathlib
import re
import sys

from playwright.sync_api import sync_playwright

SCREENS = {"desktop": (1280, 900), "phone": (390, 844)}


def numbers(page, table, column):
    cells = page.eval_on_selector_all(f"#{table} tbody tr:not([hidden])", f"rows => rows.map(row => row.cells[{column}].dataset.v ?? row.cells[{column}].textContent)")
    return [float(cell) for cell in cells if cell not in ("", "–")]


def use(page, table):
    heads = page.locator(f"#{table} thead button")
    sortable = [i for i in range(heads.count()) if numbers_or_none(page, table, i)]
    for column in sortable:
        heads.nth(column).click()
        up = numbers(page, table, column)
        heads.nth(column).click()
        down = numbers(page, table, column)
        assert up == sorted(up) and down == sorted(down, reverse=True), (table, column, up[:5], down[:5])
        assert page.locator(f"#{table} thead th").nth(column).get_attribute("aria-sort") == "descending"
    rows = page.locator(f"#{table} tbody tr")
    total, filter = rows.count(), page.locator(f'input[data-table="{table}"]')
    filter.fill("no such words")
    assert page.locator(f"#{table} tbody tr:not([hidden])").count() == 0
    first = rows.first.locator("td").nth(1).inner_text() if total else ""
    filter.fill("")
    assert page.locator(f"#{table} tbody tr:not([hidden])").count() == total
    # What was chosen survives a page that loads itself again.
    filter.fill(first)
    # Chromium may give the page a new process, and hands it what is stored beside the reload: a person is slower than that.
    page.wait_for_timeout(500)
    page.reload()
    unfold(page)
    kept = page.locator(f'input[data-table="{table}"]').input_value()
    assert kept == first, (table, kept, first, page.evaluate("JSON.stringify(sessionStorage)"))
    assert page.locator(f"#{table} tbody tr:not([hidden])").count() >= min(total, 1)
    page.locator(f'input[data-table="{table}"]').fill("")


def brightness(color):
    return sum(map(float, re.findall(r"[\d.]+", color)[:3])) / 3


def numbers_or_none(page, table, column):
    try:
        return numbers(page, table, column)
    except ValueError:
        return None


def unfold(page):
    page.evaluate("document.querySelectorAll('details').forEach(part => { part.open = true; })")


def main(file, chromium, prefix=None):
    url = pathlib.Path(file).resolve().as_uri()
    flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--no-first-run"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=flags)
        for name, (width, height) in SCREENS.items():
            for scheme in ("light", "dark"):
                context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme, offline=True)
                page = context.new_page()
                problems, requests = [], []
                page.on("console", lambda message: problems.append(message.text))
                page.on("pageerror", lambda error: problems.append(str(error)))
                page.on("request", lambda request: requests.append(request.url))
                page.goto(url)
                unfold(page)
                figures = page.locator("figure svg")
                for i in range(figures.count()):
                    box = figures.nth(i).bounding_box()
                    assert box and box["width"] > 200 and box["height"] > 60, (name, i, box)
                # Text of a figure is told from the page behind it, whatever the scheme.
                words, back = page.evaluate("[...document.querySelectorAll('figure svg text')].slice(0, 1).map(t => getComputedStyle(t).fill).concat(getComputedStyle(document.body).backgroundColor)")[-2:] if figures.count() else (None, "")
                assert words is None or abs(brightness(words) - brightness(back)) > 120, (name, scheme, words, back)
                assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{name}: wider than the screen"
                assert page.locator("h1").inner_text().strip()
                if prefix:
                    page.screenshot(path=f"{prefix}-{name}-{scheme}.png", full_page=True)
                if name == "desktop" and scheme == "light":
                    for table in page.eval_on_selector_all("table[id]", "tables => tables.map(table => table.id)"):
                        use(page, table)
                other = [r for r in requests if r.split("#")[0] != url and not r.startswith("data:")]
                assert not problems and not other, (name, scheme, problems, other)
                print(name, scheme, figures.count(), "figures")
                context.close()
        browser.close()


main(*sys.argv[1:])
