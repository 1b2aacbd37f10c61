"""A title out of what a model answered: models wrap titles in courtesies, labels, lists, quotation marks and code.

What is not surely a title is none: the chat keeps the first words of its first message.
"""

import json
from typing import Any, Final

import regex

from shared.visible_text import as_title, is_blank, short_title

MAX_CHARS: Final = 80
READ_CHARS: Final = 4_000
"""A title stands near the beginning."""
LINE_CHARS: Final = 400
"""So much of a line is read: more than a label and a title have. It bounds the time that the patterns below take."""
MAX_LAYERS: Final = 10
"""So many labels, courtesies and quotation marks around a title are taken off, at most."""
MAX_WORDS: Final = 14
"""A line of more words is a sentence."""
LABEL_WORDS: Final = 2
"""A label such as "Suggested title" has so many at most."""

_FENCE: Final = regex.compile(r"(?:```|~~~)[\w-]*[ \t]*\n?(.*?)(?:```|~~~|\Z)", regex.S)
_OPENING: Final = regex.compile(r"<(\w+)>")
_SAYS_SOMETHING: Final = regex.compile(r"[\p{L}\p{N}\p{So}]")

_TITLE: Final = (
    r"(?:titles?|titel|t[íi]tulo|titre|titolo|titlu|tytuł|název|názov|naslov|cím|tittel|rubrik|överskrift|overskrift|otsikko"
    r"|pealkiri|başlık|tiêu đề|judul|tajuk|заголовок|название|тема|назва|заглавие|наслов|τίτλος|標題|标题|題名|题目|題目"
    r"|タイトル|제목|शीर्षक|শিরোনাম|عنوان|العنوان|כותרת|ชื่อเรื่อง|หัวข้อ)"
)
_WORD: Final = regex.compile(rf"(?<!\p{{L}}){_TITLE}(?!\p{{L}})|标题|標題|題名|题目|題目|タイトル|제목", regex.I)
_HERE: Final = (
    r"(?:here(?:'s|’s| is| are| you go)|aquí|aqui|voici|hier (?:ist|sind|is)\b|ecco|вот|以下|这是|這是|这里|다음)"
)
_SURE: Final = (
    r"(?:sure(?: thing)?|certainly|of course|absolutely|claro|por supuesto|bien sûr|natürlich|gerne?|certo|natuurlijk"
    r"|as (?:requested|you (?:asked|requested|wished))|wie gewünscht|como solicitado|comme demandé|как вы просили"
    r"|конечно|当然(?:可以)?|當然|好的|はい|もちろん|물론(?:입니다|이죠)?|네)"
)
_WELL: Final = r"(?:okay|ok|great|alright|got it|klar)"
_COURTESY: Final = regex.compile(rf"(?:{_SURE}\s*[!！.。,，]+|{_WELL}\s*[!！.]+)\s*(?=\S)", regex.I)
_HANDING: Final = rf"(?:(?:{_SURE}|{_WELL})\W+)?{_HERE}(?!\p{{Latin}})"
_PREAMBLE: Final = regex.compile(rf"{_HANDING}|(?:{_SURE}|{_WELL})(?!\p{{Latin}})", regex.I)
_HANDS_OVER: Final = regex.compile(rf"{_HANDING}|(?:{_SURE})\Z", regex.I)
_BEGINS: Final = regex.compile(
    rf"(?:(?:a|an|the|my|one|eine?n?|der|un|une|le|el|o|um) )?(?:\p{{L}}+ )?{_TITLE}(?!\p{{L}})", regex.I
)
# The verb is in small letters, so that "The Title Would Be Nice to Have" stays whole.
_SAYS: Final = regex.compile(
    rf"(?i:(?:(?:a|an|the|my|your|one|eine?|der|mein|une?|le|mon|el|il|o|uma?) )?(?:\p{{L}}+ ){{0,2}}{_TITLE}"
    r"(?: (?:for|of|für|para|pour|per|del?) [^.:]{1,40}?)?)"
    r" (?:(?:would|could|might|should) be|wäre|könnte sein|sería|podría ser|serait|pourrait être|sarebbe|potrebbe essere"
    r"|seria|poderia ser|(?:is|ist|es|est|è|é)(?=\s+\P{Ll}))\s+(?=\S)"
    r"|I(?:['’]d| would) (?:suggest|propose|recommend|(?:call|title|name) (?:it|this)|go with)\s+(?=\P{Ll})"
)
_LABEL: Final = regex.compile(r"([^:：=]{1,120}?)\s*[:：=]\s*(.*)", regex.S)
_DASHED: Final = regex.compile(rf"{_TITLE}\s+[-–—]\s+(?=\S)", regex.I)
_QUOTE: Final = r"\"“”„«»「」『』《》"
_NAMED: Final = regex.compile(rf"[^{_QUOTE}]*[{_QUOTE}]([^{_QUOTE}]+)[{_QUOTE}][^{_QUOTE}]*")
_BULLET: Final = regex.compile(r"\A(?:[-*+•–—‣▪]|\(?\d{1,2}[.)、])\s+")
_MARKDOWN: Final = regex.compile(r"\A(?:#{1,6}|>)\s+")
_EMPHASIS: Final = (
    regex.compile(r"\*\*(?=\S)(.+?)(?<=\S)\*\*"),
    regex.compile(r"(?<![\w*])\*(?=\S)([^*]+)(?<=\S)\*(?![\w*])"),
    regex.compile(r"\A_{1,2}(?=\S)([^_]* [^_]*)(?<=\S)_{1,2}\Z"),
    regex.compile(r"\A~~(.+)~~\Z"),
    regex.compile(r"`+([^`]+)`+"),
)
_QUOTED: Final = regex.compile(
    r"""\A(?:(?<quote>["'＂＇])(?<said>.+)(?P=quote)|[“”„‟«»「『《〈【〝‹›‚‘’](?<said>.+)[”“‟»«」』》〉】〞〟›‹’‘])\Z"""
)
_QUOTES: Final = regex.compile(r"[\"＂“”„‟«»「」『』《》〈〉【】〝〞〟‹›]|(?<!\w)['‘’‚]|['‘’‚](?!\w)")
_LAST_MARKS: Final = ".,;:。．｡、，；：।۔،؛"

# Of a refusal, of a model that answers the message, and of one that thinks aloud: not of a title such as "I can't sleep".
_NO_TITLE: Final = regex.compile(
    r"(?:(?:okay|ok|alright|well|hmm+|so|now|right)\b[,.…!]*\s+){0,3}"
    r"(?:(?:i'?m|i am|we'?re) (?:so |very |really )?sorry\b|sorry,|i apologi[sz]e|my apologies|unfortunately,? (?:i|we)\b"
    r"|as an? (?:ai|language model|assistant)\b"
    r"|i (?:can'?t|can ?not|could not|couldn'?t|won'?t|will not|am unable to|'?m unable to|am not able to|do not|don'?t"
    r"|would not)(?: (?:really|possibly|actually))? (?:help|assist|do|provide|create|generate|fulfil|fulfill|comply|give"
    r"|produce|answer|engage|title|make|write|suggest|have|see|find|know what|discuss|support|continue|process|access)\b"
    r"|i'?m (?:unable|not able) to|the (?:user|message|conversation|quoted)\b[^:]* (?:wants?|asks?|is|says|seems|begins"
    r"|contains|needs)\b|(?:we|i) (?:need|should|must|have) to\b.*\btitle|let me (?:think|see)|let'?s (?:think|craft)"
    r"|how (?:can|may) i (?:help|assist)|(?:hello|hi|hey)\b.*\bhow (?:can|may) i"
    r"|es tut mir leid|entschuldigung|tut mir leid|leider k(?:ann|önnen)|ich kann (?:dir |ihnen |das |dabei )"
    r"|lo siento,|lamento|no puedo (?:ayudar|hacer|crear|generar|proporcionar|cumplir|asistir|ofrecer)|désolée?,"
    r"|je suis désolée?|je ne peux pas (?:vous |t'|t’|aider|répondre|créer|fournir|faire)|mi dispiace|non posso (?:aiutar"
    r"|fornir|crear|rispond|far)|desculpe|sinto muito|não posso (?:ajudar|fornecer|criar|gerar|fazer|responder)"
    r"|het spijt me|ik kan (?:je |u |dat |daar)|извините|к сожалению|я не могу (?:помочь|это|предоставить|создать"
    r"|выполнить)|(?:я )?не могу (?:с этим )?(?:помочь|предоставить|создать|выполнить|ответить)|не можу допомогти"
    r"|(?:can'?t|can ?not|unable to|not able to) (?:help (?:you|with)|assist|comply|fulfil|(?:provide|create|generate) (?:a|the)"
    r"|do that)\b|kann (?:dir |ihnen )?(?:dabei|damit|hier) (?:leider )?nicht|(?:nie|ne) mog[ęu]\b.*\b(?:pomóc|pomoci)"
    r"|please (?:provide|share|send|give|paste|enter|specify|clarify|tell)(?: me)?(?: with)? (?:the|a|an|your|more|some|what"
    r"|which|additional|further|me)\b|(?:could|can|would) you (?:please )?(?:provide|share|clarify|specify|give me|tell me)"
    r"|bitte (?:gib|geben|teile|teilen|nenne|nennen|sende|senden|schick|stelle)\b"
    r"|por favor,? (?:proporcion|compart|indi[cq]|env[ií]|forne[cç]|diga)|veuillez (?:fournir|partager|indiquer|préciser|envoyer)"
    r"|пожалуйста,? (?:предостав|укажи|пришли|отправ|уточни)|请(?:您)?(?:提供|告诉|输入|发送|分享)"
    r"|(?:无法|無法|不能)(?:帮|提供|生成|回答)"
    r"|抱歉|对不起|對不起|很抱歉|我(?:无法|無法|不能)|申し訳|すみません|ごめんなさい|죄송|미안|آسف|عذر|मुझे खेद|क्षमा करें)",
    regex.I,
)
_NAMES_NOTHING: Final = frozenset(
    {"none", "null", "n/a", "untitled", "no title", "unknown", "title", "new chat", "…", "...", "empty"}
)
_KEYS: Final = ("title", "chat_title", "name", "titel", "título", "titulo", "titre", "titolo", "标题", "タイトル")


def title_in(answer: str) -> str:
    """The title that a model's answer surely has, on one line, in at most MAX_CHARS; empty where there is none."""
    text = answer[:READ_CHARS].strip()
    fenced = _FENCE.search(text)
    if fenced and _SAYS_SOMETHING.search(fenced[1]):
        text = fenced[1].strip()
    if text.lstrip()[:1] in {"{", "["} or regex.search(r"\{\s*\"", text):
        text = _in_json(text)
    title = _unwrapped(_title_line(_in_element(text)))
    if (
        is_blank(title)
        or not _SAYS_SOMETHING.search(title)
        or _NO_TITLE.match(title.replace("’", "'"))
        or title.lower() in _NAMES_NOTHING
        or _WORD.fullmatch(title)
        or len(title.split()) > MAX_WORDS
        or title[:1] in {"<", "{", "["}
    ):
        return ""
    return short_title(title, MAX_CHARS)


def _in_json(text: str) -> str:
    """The title in JSON that stands somewhere in the text; empty where there is none."""
    begin = min(at for at in (text.find("{"), text.find("[")) if at >= 0)
    try:
        said, _ = json.JSONDecoder().raw_decode(text[begin:])
    except (ValueError, RecursionError):
        return ""
    return _string_in(said)


def _string_in(said: Any) -> str:  # noqa: ANN401 - any JSON
    while isinstance(said, list):
        said = said[0] if said else ""
    match said:
        case str():
            return said
        case dict():
            by_key = {str(key).lower(): value for key, value in said.items()}
            named = [by_key[key] for key in _KEYS if isinstance(by_key.get(key), str)]
            texts = named or [value for value in said.values() if isinstance(value, str)]
            return texts[0] if len(texts) == 1 or named else ""
        case _:
            return ""


def _in_element(text: str) -> str:
    """What the first element in the text has (`<title>…</title>`); the whole text where there is no element."""
    unclosed = set[str]()  # so that one closing tag is looked for once, however many elements are opened
    for opening in _OPENING.finditer(text):
        closing = f"</{opening[1]}>"
        end = -1 if closing in unclosed else text.find(closing, opening.end())
        if end < 0:
            unclosed.add(closing)
        elif content := text[opening.end() : end].strip():
            return _without_elements_around(content)
    return text


def _without_elements_around(text: str) -> str:
    while opening := _OPENING.match(text):
        closing = f"</{opening[1]}>"
        if text.find(closing, opening.end()) != len(text) - len(closing):
            break
        text = text[opening.end() : -len(closing)].strip()
    return text


def _title_line(text: str) -> str:
    """The line that has the title: the first one that is no preamble."""
    lines = [_MARKDOWN.sub("", as_title(line)[:LINE_CHARS], count=1) for line in text.splitlines()]
    lines = [line for line in lines if _SAYS_SOMETHING.search(line)]
    is_list = sum(_BULLET.match(line) is not None for line in lines) > 1
    while len(lines) > 1 and _is_preamble(_plain(lines[0])):
        lines.pop(0)
        is_list = True
    line = lines[0] if lines else ""
    # A number before a single line may belong to the title, as in "1. FC Köln".
    return _BULLET.sub("", line, count=1) if is_list or line[:1] in "-*+•" else line


def _is_preamble(line: str) -> bool:
    """Whether a line that others follow only announces the title."""
    label = _LABEL.fullmatch(line)
    if label is not None:
        return not label[2]
    is_announced = _PREAMBLE.match(line) is not None and _WORD.search(line) is not None
    return is_announced or _WORD.fullmatch(line) is not None or _COURTESY.fullmatch(line + " x") is not None


def _unwrapped(line: str) -> str:
    """A line without labels, courtesies, quotation marks, emphasis and a last full stop, in any order."""
    for _ in range(MAX_LAYERS):
        before = line
        line = _without_label(_plain(_MARKDOWN.sub("", line.strip(), count=1)))
        if not line.endswith("..."):
            line = line.rstrip(_LAST_MARKS + " ")
        if (quoted := _QUOTED.match(line)) and not _QUOTES.search(quoted["said"]):
            line = quoted["said"]
        elif len(_QUOTES.findall(line)) == 1:
            line = line.strip('"“”„«»「」『』')  # its other half was lost
        if line == before:
            break
    return line.strip()


def _plain(line: str) -> str:
    for emphasis in _EMPHASIS:
        line = emphasis.sub(r"\1", line)
    return line


def _without_label(line: str) -> str:
    """What follows a label ("Title:", "Titel:") or an announcement that ends with a colon."""
    if courtesy := _COURTESY.match(line):
        return line[courtesy.end() :]
    if dashed := _DASHED.match(line):
        return line[dashed.end() :]
    if says := _SAYS.match(line):
        return line[says.end() :]
    label = _LABEL.fullmatch(line)
    if label is None:
        named = _NAMED.fullmatch(line)
        return named[1] if named and _announces(line[: named.start(1)]) else line
    return label[2] if _HANDS_OVER.match(label[1]) or _announces(label[1]) else line


def _announces(words: str) -> bool:
    """Whether these words say that a title follows.

    "Choosing a title" does not; "A title for your conversation" and "Suggested title" do. Of languages without spaces, and
    of most others, the word for a title is enough.
    """
    if _WORD.search(words) is None:
        return False
    is_short = len(words.split()) <= LABEL_WORDS and _WORD.search(words.rsplit(maxsplit=1)[-1]) is not None
    return is_short or not words.isascii() or bool(_PREAMBLE.match(words) or _BEGINS.match(words))
