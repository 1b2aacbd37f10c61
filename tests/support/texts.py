"""Texts of many scripts, for what has to work whatever people write in.

The texts of languages begin with Article 1 of the Universal Declaration of Human Rights
(https://www.ohchr.org/en/human-rights/universal-declaration), which is nobody's property.
"""

import base64
import random
import string
import unicodedata
from typing import Final

TEXTS: Final = {
    "english": (
        "All human beings are born free and equal in dignity and rights. They are endowed with reason and conscience "
        "and should act towards one another in a spirit of brotherhood. Please summarize the attached report for me, "
        "and tell me which three suppliers were late in the second quarter and why."
    ),
    "german": (
        "Alle Menschen sind frei und gleich an Würde und Rechten geboren. Sie sind mit Vernunft und Gewissen begabt und "
        "sollen einander im Geist der Brüderlichkeit begegnen. Bitte fasse den angehängten Bericht zusammen und sage "
        "mir, welche drei Lieferanten im zweiten Quartal zu spät waren."
    ),
    "french": (
        "Tous les êtres humains naissent libres et égaux en dignité et en droits. Ils sont doués de raison et de "
        "conscience et doivent agir les uns envers les autres dans un esprit de fraternité. Résumez le rapport ci-joint."
    ),
    "spanish": (
        "Todos los seres humanos nacen libres e iguales en dignidad y derechos y, dotados como están de razón y "
        "conciencia, deben comportarse fraternalmente los unos con los otros. ¿Puedes resumir el informe adjunto?"
    ),
    "italian": (
        "Tutti gli esseri umani nascono liberi ed eguali in dignità e diritti. Essi sono dotati di ragione e di coscienza "
        "e devono agire gli uni verso gli altri in spirito di fratellanza. Riassumi il rapporto allegato per favore."
    ),
    "dutch": (
        "Alle mensen worden vrij en gelijk in waardigheid en rechten geboren. Zij zijn begiftigd met verstand en geweten, "
        "en behoren zich jegens elkander in een geest van broederschap te gedragen. Vat het bijgevoegde verslag samen."
    ),
    "polish": (
        "Wszyscy ludzie rodzą się wolni i równi pod względem swej godności i swych praw. Są oni obdarzeni rozumem i "
        "sumieniem i powinni postępować wobec innych w duchu braterstwa. Proszę streścić załączony raport."
    ),
    "turkish": (
        "Bütün insanlar hür, haysiyet ve haklar bakımından eşit doğarlar. Akıl ve vicdana sahiptirler ve birbirlerine "
        "karşı kardeşlik zihniyeti ile hareket etmelidirler. Lütfen ekteki raporu benim için özetle."
    ),
    "vietnamese": (
        "Tất cả mọi người sinh ra đều được tự do và bình đẳng về nhân phẩm và quyền lợi. Mọi con người đều được tạo hóa "
        "ban cho lý trí và lương tâm và cần phải đối xử với nhau trong tình bằng hữu."
    ),
    "russian": (
        "Все люди рождаются свободными и равными в своём достоинстве и правах. Они наделены разумом и совестью и должны "
        "поступать в отношении друг друга в духе братства. Пожалуйста, кратко перескажи приложенный отчёт."
    ),
    "greek": (
        "Όλοι οι άνθρωποι γεννιούνται ελεύθεροι και ίσοι στην αξιοπρέπεια και τα δικαιώματα. Είναι προικισμένοι με λογική "
        "και συνείδηση, και οφείλουν να συμπεριφέρονται μεταξύ τους με πνεύμα αδελφοσύνης."
    ),
    "arabic": (
        "يولد جميع الناس أحرارًا متساوين في الكرامة والحقوق. وقد وهبوا عقلاً وضميرًا وعليهم أن يعامل بعضهم بعضًا بروح "
        "الإخاء. من فضلك لخص التقرير المرفق وأخبرني أي الموردين تأخر."
    ),
    "hebrew": (
        "כל בני האדם נולדו בני חורין ושווים בערכם ובזכויותיהם. כולם חוננו בתבונה ובמצפון, לפיכך חובה עליהם לנהוג איש ברעהו "
        "ברוח של אחווה."
    ),
    "hindi": (
        "सभी मनुष्यों को गौरव और अधिकारों के मामले में जन्मजात स्वतन्त्रता और समानता प्राप्त है। उन्हें बुद्धि और अन्तरात्मा की देन प्राप्त है और "
        "परस्पर उन्हें भाईचारे के भाव से बर्ताव करना चाहिए।"
    ),
    "tamil": (
        "மனிதப் பிறவியினர் சகலரும் சுதந்திரமாகவே பிறக்கின்றனர்; அவர்கள் மதிப்பிலும், உரிமைகளிலும் சமமானவர்கள், அவர்கள் நியாயத்தையும் "
        "மனச்சாட்சியையும் இயற்பண்பாகப் பெற்றவர்கள்."
    ),
    "thai": (
        "มนุษย์ทั้งหลายเกิดมามีอิสระและเสมอภาคกันในเกียรติศักดิ์และสิทธิ ต่างมีเหตุผลและมโนธรรม และควรปฏิบัติต่อกันด้วยเจตนารมณ์แห่งภราดรภาพ"
    ),
    "chinese": (
        "人人生而自由,在尊严和权利上一律平等。他们赋有理性和良心,并应以兄弟关系的精神相对待。请帮我总结附件中的报告,并告诉我第二季度哪三家供应商迟到了。"
    ),
    "chinese_traditional": (
        "人人生而自由,在尊嚴和權利上一律平等。他們賦有理性和良心,並應以兄弟關係的精神相對待。請幫我總結附件中的報告,並告訴我第二季度哪三家供應商遲到了。"
    ),
    "japanese": (
        "すべての人間は、生まれながらにして自由であり、かつ、尊厳と権利とについて平等である。人間は、理性と良心とを授けられており、"
        "互いに同胞の精神をもって行動しなければならない。レポートを要約してください。"
    ),
    "korean": (
        "모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다. 인간은 천부적으로 "
        "이성과 양심을 부여받았으며 서로 형제애의 정신으로 행동하여야 한다. 첨부한 보고서를 요약해 주세요."
    ),
    "georgian": (
        "ყველა ადამიანი იბადება თავისუფალი და თანასწორი თავისი ღირსებითა და უფლებებით. მათ მინიჭებული აქვთ გონება და სინდისი."
    ),
    "armenian": (
        "Բոլոր մարդիկ ծնվում են ազատ ու հավասար իրենց արժանապատվությամբ ու իրավունքներով։ Նրանք ունեն բանականություն ու "
        "խիղճ և միմյանց պետք է եղբայրաբար վերաբերվեն։"
    ),
    "amharic": (
        "የሰው ልጅ ሁሉ ሲወለድ ነጻና በክብርና በመብትም እኩልነት ያለው ነው። የተፈጥሮ ማስተዋልና ሕሊና ስላለው አንዱ ሌላውን በወንድማማችነት መንፈስ መመልከት ይገባዋል።"
    ),
    "phonetics": "ɔːl ˈhjuːmən ˈbiːɪŋz ɑːr bɔːrn friː ənd ˈiːkwəl ɪn ˈdɪɡnɪti ənd raɪts",
    "digits": "3141592653589793238462643383279502884197169399375105820974944592307816406286208998628034825342117067",
    "table": "2026-11-25 08:15:42.113  1,204.50  -17.25%  192.168.10.44  +49 30 1234567  #00413  7/9  0x1F4A  98.6\n"
    * 3,
    "emoji": "😀😂🥰🎉🚀👍🏽👩‍💻🇩🇪❤️🔥🤷🏻‍♀️✅🐍🌍🍕🏳️‍🌈😭🙏💯🤖",
    "python": (
        "def quota(user_id: int, *, daily: int | None = None) -> Quota:\n    if daily is None:\n        return Quota()\n"
        "    rows = [row for row in db.execute(SELECT, {'user': user_id}) if row['total_tokens'] >= 0]\n"
        "    return Quota(daily - sum(row['total_tokens'] for row in rows))\n\n\n"
        "class TestQuota:\n    def test_it_is_kept(self) -> None:\n        assert quota(1, daily=10).left == 10\n"
    ),
    "json": (
        '{"id": "chatcmpl-9f8a", "choices": [{"index": 0, "delta": {"content": "Hi"}, "finish_reason": null}], '
        '"usage": {"prompt_tokens": 12, "completion_tokens": 7}, "x_groq": {"id": "req_01jd"}, "ok": true}'
    ),
    "url": "https://example.org/articles/2026/11/the-quiet-river?utm_source=feed&ref=4f9a2b#part-2 ",
    "markdown": (
        "## Plan\n\n| day | place | cost |\n|---|---|---|\n| 1 | Lisbon | 120 € |\n| 2 | Porto | 95 € |\n\n"
        "* **Book** the train\n* Pack `adapter`\n\n---\n\n1. first\n2. second\n\n```sh\nls -la | grep '^d'\n```\n"
    ),
    "whitespace": "one\n\n\n\n\ttwo\n        three                    four\r\n\r\n\t\t\tfive      six\n",
    "rule": "====================\n--------------------\n* * * * * * * * * *\n....................\n",
    "capitals": "PLEASE READ THE FOLLOWING INSTRUCTIONS CAREFULLY BEFORE USE. WARRANTY VOID IF SEAL IS BROKEN.",
    "mathematics": "∀ε>0 ∃δ>0: |x−a|<δ ⇒ |f(x)−f(a)|<ε; ∑ᵢ xᵢ² ≤ ∫₀¹ √(1−t²) dt ≈ π⁄4, A∩B ⊆ ℝⁿ",
}
"""A name for each: a language, or what the text is made of."""
INVISIBLE: Final = {
    "nothing": "",
    "spaces": " \t\r\n\u00a0\u3000\u2003",
    "zero width": "\u200b\u200c\u200d\u2060\ufeff",
    "bidi controls": "\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069",
    "Hangul fillers": "\u115f\u1160\u3164\uffa0",
    "variation selectors": "\ufe00\ufe0f\U000e0100\u180b",
    "tags": "\U000e0001\U000e0041\U000e007f",
    "controls": "\x01\x07\x1b\x7f\x85",
    "braille blank": "\u2800",
    "soft hyphen": "\u00ad\u034f",
    "annotations": "\ufff9\ufffa\ufffb",
    "separators": "\u2028\u2029",
    "no characters": "\uffff\ufdd0",
    "a note without a head": "\U0001d159",
    "some of each": " \u200b\u3164\n\ufe0f\u2800",
}
"""Texts of which nobody sees anything, with a name for each."""

_RANDOM: Final = random.Random(7)  # noqa: S311 - always the same texts


def _any_of(characters: str, count: int) -> str:
    return "".join(_RANDOM.choices(characters, k=count))


def _block(first: int, last: int) -> str:
    return "".join(map(chr, range(first, last + 1)))


NO_WORDS: Final = {
    "random letters": _any_of(string.ascii_lowercase, 900),
    "random words": " ".join(_any_of(string.ascii_lowercase, _RANDOM.randint(3, 9)) for _ in range(150)),
    "consonants": " ".join(_any_of("bcdfghjklmnpqrstvwxz", 6) for _ in range(120)),
    "random capitals": _any_of(string.ascii_uppercase, 900),
    "letters and digits": _any_of(string.ascii_letters + string.digits, 900),
    "base64": base64.b64encode(_RANDOM.randbytes(600)).decode(),
    "hex": _RANDOM.randbytes(400).hex(),
    "passwords": "\n".join(_any_of(string.ascii_letters + string.digits + "!@#$%^&*", 14) for _ in range(50)),
    "many marks": "".join(letter + _any_of(_block(0x0300, 0x036F), 6) for letter in TEXTS["english"][:120]),
    "marks apart": unicodedata.normalize("NFD", TEXTS["vietnamese"]),
    "cuneiform": _any_of(_block(0x12000, 0x12399), 300),
    "hieroglyphs": _any_of(_block(0x13000, 0x1342E), 300),
    "any Han": _any_of(_block(0x4E00, 0x9FA5), 300),
    "Han, extension A": _any_of(_block(0x3400, 0x4DB5), 300),
    "Han, extension B": _any_of(_block(0x20000, 0x2A6D6), 300),
    "private use": _any_of(_block(0xE000, 0xE400), 200),
}
"""Texts that hardly have a word that a vocabulary knows."""
