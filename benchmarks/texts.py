"""Sentences to encode, the same ones each time: prose of the Python library, and other languages and scripts.

Their lengths are those of what people embed: most are a sentence, some a title, some a paragraph, a few too long for a
model.
"""

# ruff: noqa: RUF001 - letters that look like Latin ones are meant

from __future__ import annotations

import ast
import functools
import importlib.util
import random
import re
from collections.abc import Iterator
from pathlib import Path

MODULES = """
argparse array ast asyncio base64 bisect bz2 calendar cmd codecs collections configparser contextlib copy csv
datetime decimal difflib dis email enum fileinput fractions ftplib functools gettext glob gzip hashlib heapq
hmac html http imaplib importlib inspect io ipaddress itertools json linecache locale logging lzma mailbox math
mimetypes netrc numbers operator os pathlib pdb pickle pkgutil platform plistlib poplib pprint profile pstats
queue quopri random re reprlib sched secrets selectors shelve shlex shutil signal smtplib socket sqlite3 ssl
stat statistics string struct subprocess symtable sysconfig tarfile tempfile textwrap threading timeit token
tokenize trace traceback types unicodedata unittest urllib.request uuid warnings wave weakref
xml.dom.minidom xml.etree.ElementTree zipfile zlib
"""

# The first article of the Universal Declaration of Human Rights, and some everyday sentences.
OTHERS = """
Alle Menschen sind frei und gleich an Würde und Rechten geboren.
Sie sind mit Vernunft und Gewissen begabt und sollen einander im Geist der Brüderlichkeit begegnen.
Tous les êtres humains naissent libres et égaux en dignité et en droits.
Ils sont doués de raison et de conscience et doivent agir les uns envers les autres dans un esprit de fraternité.
Todos los seres humanos nacen libres e iguales en dignidad y derechos.
Todos os seres humanos nascem livres e iguais em dignidade e em direitos.
Wszyscy ludzie rodzą się wolni i równi pod względem swej godności i swych praw.
Bütün insanlar hür, haysiyet ve haklar bakımından eşit doğarlar.
Tất cả mọi người sinh ra đều được tự do và bình đẳng về nhân phẩm và quyền lợi.
Все люди рождаются свободными и равными в своем достоинстве и правах.
Они наделены разумом и совестью и должны поступать в отношении друг друга в духе братства.
Όλοι οι άνθρωποι γεννιούνται ελεύθεροι και ίσοι στην αξιοπρέπεια και τα δικαιώματα.
يولد جميع الناس أحرارًا متساوين في الكرامة والحقوق.
כל בני האדם נולדו בני חורין ושווים בערכם ובזכויותיהם.
सभी मनुष्यों को गौरव और अधिकारों के मामले में जन्मजात स्वतन्त्रता और समानता प्राप्त है।
人人生而自由,在尊严和权利上一律平等。
他们赋有理性和良心,并应以兄弟关系的精神相对待。
すべての人間は、生まれながらにして自由であり、かつ、尊厳と権利とについて平等である。
모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다.
มนุษย์ทั้งหลายเกิดมามีอิสระและเสมอภาคกันในเกียรติศักดิ์และสิทธิ
Where is the station? Où est la gare ? Wo ist der Bahnhof? 駅はどこですか。
The meeting is at 15:30 🕞 in room 4½ — don't be late! 😀
naïve café, jalapeño, smörgåsbord, Ελλάδα, Україна, 東京, 서울
""".strip().splitlines()
OTHERS_SHARE = 0.2
# How many sentences are joined to one text, and how often.
JOINED = [(1, 0.72), (2, 0.14), (4, 0.09), (10, 0.04), (40, 0.01)]


def sentences(count: int = 2000, seed: int = 0) -> list[str]:
    """So many texts, all different."""
    chance = random.Random(seed)
    prose = _prose()
    numbers, weights = zip(*JOINED)
    texts: dict[str, None] = {}
    while len(texts) < count:
        source = OTHERS if chance.random() < OTHERS_SHARE else prose
        parts = [chance.choice(source) for _ in range(chance.choices(numbers, weights)[0])]
        if source is OTHERS and len(parts) == 1:  # they are few: let each be different
            parts.insert(chance.randrange(2), chance.choice(prose).split(" ")[0])
        texts[" ".join(parts)] = None
    return list(texts)


@functools.cache
def _prose() -> list[str]:
    """The sentences of the modules' documentation, from their source: other imports may change them."""
    found: dict[str, None] = {}
    for name in MODULES.split():
        spec = importlib.util.find_spec(name)
        if spec is None or not spec.has_location or not spec.origin.endswith(".py"):
            continue
        for node in ast.walk(ast.parse(Path(spec.origin).read_text(encoding="utf-8"))):
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)):
                found |= dict.fromkeys(_sentences_of(ast.get_docstring(node) or ""))
    return sorted(found)


def _sentences_of(documentation: str) -> Iterator[str]:
    for paragraph in re.split(r"\n\s*\n", documentation):
        if re.match(r"[A-Z]", paragraph) and ">>>" not in paragraph:
            sentences = re.split(r"(?<=[.!?])\s+", " ".join(paragraph.split()))
            yield from (sentence for sentence in sentences if 12 <= len(sentence) <= 300)


if __name__ == "__main__":
    print(*sentences(), sep="\n")
