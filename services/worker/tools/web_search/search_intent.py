"""Whether a question needs a web search, decided by its (English) words.

For models that can't ask for a search themselves.
"""

import re
from typing import Final

MAX_CHARS: Final = 4_000
"""Only the first characters of a question are read. Whoever pastes more asks about the pasted text."""


def _any(*patterns: str) -> re.Pattern[str]:
    """Any of these, as whole words, in any case."""
    return re.compile(rf"(?<!\w)(?:{'|'.join(patterns)})(?!\w)", re.IGNORECASE)


_CODE: Final = re.compile(r"```.*?(?:```|\Z)|`[^`\n]*`", re.DOTALL)
_QUOTED: Final = re.compile(
    r"""(?<!\w)"[^"\n]*"|(?<!\w)'[^'\n]*'(?!\w)|\u201c[^\u201d\n]*\u201d|\u00ab[^\u00bb\n]*\u00bb"""
)
_CLAUSE_END: Final = re.compile(r"(?<=[.!?,;:])\s+|\n+|\s+-+\s+")
_COURTESY: Final = re.compile(
    r"(?:\W|\b(?:hi|hello|hey|ok(?:ay)?|so|and|now|please|kindly|thanks|then|(?:can|could|would|will) you"
    r"|help me(?: to)?|i(?:'d| would) like you to|i (?:want|need) you to|let's|just)\b)*",
    re.IGNORECASE,
)
_URL: Final = re.compile(
    r"\bhttps?://[^\s/]|(?<![\w@.])(?:www\.)?(?:[a-z0-9-]+\.)+(?:com|org|net|gov|edu)\b", re.IGNORECASE
)

_DECLINED: Final = _any(
    r"(?:don'?t|do not|never|without|no need to|not) (?:(?:do|use|run|need|want)(?:ing)? )?(?:an? |any "
    r"|the )?(?:web ?|internet |online )?(?:search(?:es|ing)?|google|googling|brows(?:e|ing)|look(?:ing)? (?:it "
    r"|this |that )?up)",
    r"(?:don'?t|do not|without) (?:use|using|access(?:ing)?) the (?:web|internet)",
)
_ASKED: Final = _any(
    r"search (?:the )?(?:web|internet|net|online)",
    r"(?:search|browse|google|look) (?:online )?(?:for|on)(?! (?:loop|each))(?= \w)(?! (?:patterns?|errors?|bugs?"
    r"|typos?)\b)",
    r"(?:web|internet|online|google) search(?: for| on)?",
    r"(?:look|looking) (?:it |this |that |them |him |her )?up(?! (?:at|to|from|tables?)\b)",
    r"(?:find|check|see|read|research)(?: \w+){0,6} (?:online|(?:on )?the (?:web|internet|net))",
    r"browse(?: the)? (?:web|internet)",
    r"google (?:it|this|that|for|what|who|when|where|how)",
    r"(?:with|cite|citing|give|include|including|provide) (?:me )?(?:your |the |some )?(?:sources|citations"
    r"|references|links)",
    r"(?:link|url|website|homepage) (?:of|for|to)",
)

# Requests to invent something, or to change a text that the question has: neither needs the web.
_REWORKING: Final = re.compile(
    r"(?:translate|rewrite|rephrase|reword|paraphrase|proofread|proof-read|correct|edit|polish|shorten|fix|debug"
    r"|refactor|improve|format"
    r"|convert(?! \$?[\d.,]+ ?(?:usd|eur|gbp|jpy|chf|inr|dollars?|euros?|pounds?)\b)"
    r"|simplify|spell.?check|continue|complete|classify|tokenize"
    r"|summari[sz]e (?:this|the following)(?! (?:week|month|year|morning))(?![^\n]{0,40}https?://))\b",
    re.IGNORECASE,
)
_MAKING: Final = re.compile(
    r"(?:(?:write|compose|create|make up|make|invent|tell|draft|generate|give|imagine|implement|code|sing"
    r"|show)\b)(?: me| us)?\W+(?:\w+\W+){0,5}?(?:poems?|haikus?|limericks?|sonnets?|verses?|rhymes?|stor(?:y|ies)"
    r"|tales?|fables?|songs?|lyrics|raps?|jokes?|riddles?|puns?|slogans?|dialogues?|novels?|scenes?|plays?|e-?mails?"
    r"|cover letters?|letters?|birthday cards?|toasts?|speech|functions?|code|scripts?|programs?|class(?:es)?"
    r"|regex(?:es)?|regular expressions?|quer(?:y|ies)|unit tests?|tests?|components?|snippets?|one-?liners?"
    r"|algorithms?|api|endpoints?|commit messages?|docstrings?|sql)\b",
    re.IGNORECASE,
)
_PLEASANTRY: Final = re.compile(
    r"\W*(?:(?:hi|hello|hey|hiya|yo|greetings|good (?:morning|afternoon|evening|night|day)|welcome back"
    r"|thanks?(?: you)?|thx|cheers|bye|goodbye|see you(?: later| tomorrow| soon)?|how are (?:you|things)(?: doing)?"
    r"|how(?:'s| is) (?:it going|your day(?: going)?)|how do you (?:do|feel)|what(?:'s| is) up|what are you (?:doing"
    r"|up to)|who are you|what(?:'s| is) your name|what can you do|nice to meet you|ok(?:ay)?|great|cool|perfect"
    r"|there|so|very|much|a lot|everyone|all|for|your|the|help|today|tonight|now|right now|again|and|this (?:morning"
    r"|evening|weekend))\b\W*)+",
    re.IGNORECASE,
)
_ARITHMETIC: Final = re.compile(
    r"\W*(?:(?:what(?:'s| is| are)|how much is|calculate|compute|solve|evaluate|simplify|factor(?:ize)?|integrate"
    r"|differentiate|convert|write|is|the|of|and|for|to|in|by|from|an?|plus|minus|times|over|divided|multiplied"
    r"|squared|cubed|power|percent|sum|difference|product|square|cube|root|sqrt|log|sin|cos|tan|modulo|mod|remainder"
    r"|derivative|integral|prime|factors?|number|even|odd|divisible|greater|less|than|equals?|roman|numerals?|binary"
    r"|hex(?:adecimal)?|octal|leap|year|[xyzn]|dx|pi|e)\b|[\d\W])+",
    re.IGNORECASE,
)
_HOW_IN_CODE: Final = _any(
    r"how (?:do|can|could|would|should|to)(?: i| you| we| one)? [^.!?\n]{1,80} in (?:an? |my |the )?"
    r"(?:python|javascript|typescript|java"
    r"|rust|go|kotlin|swift|php|ruby|bash|shell|vim|emacs|sql|postgresql|excel|git|html|css|pandas|numpy|react|django|regex|dict"
    r"|dictionary|list|array|string|file|loop|script|function|code|terminal)"
)
_ABOUT_THE_CHAT: Final = _any(
    r"(?:you|i|we) (?:just |already |have |had )?(?:said|told|mentioned|wrote|asked|talked|discussed|were saying)",
    r"did (?:you|i|we) (?:just )?(?:say|tell|mention|write|ask|mean)",
    r"(?:this|our|the) (?:chat|conversation|discussion)",
    r"(?:your|my|the) (?:last|previous|latest|current|earlier|first) (?:messages?|answers?|repl(?:y|ies)|questions?"
    r"|responses?|prompts?)",
    r"(?:above|following|attached|pasted) (?:text|code|message|article|paragraph|list|table|document)",
)

# "I am sad today" is about its writer; "I want to know today's exchange rate" is not.
_OF_ONESELF: Final = re.compile(
    r"\W*(?:(?:today|tonight|yesterday|tomorrow|recently|currently|lately|right now|last \w+|this \w+|so|and|but"
    r"|well|oh)\W+)*(?:i|i'(?:m|ve|d|ll)|we|we'(?:re|ve|ll)|my|our)\b(?![^.!?]*\b(?:want|need|like|wish|curious"
    r"|interested|wonder(?:ing)?)\b[^.!?]*\b(?:know|knowing|see|hear|find|learn|about|get|what|who|when|where|how|if"
    r"|latest|today's)\b)[^?]*$",
    re.IGNORECASE,
)
_OF_A_WORD: Final = _any(
    r"define",
    r"(?:definition|meaning|etymology|synonyms?|concept|history|theory) (?:of|for)",
    r"what do(?:es)? .{1,80} mean",
    r"what(?: is|'s| are) (?:an?|the (?:difference|definition|meaning|purpose|point|formula))",
    r"explain (?:how|what|why|the (?:concept|idea|difference|theory))",
    r"how (?:do|does|did|is|are|can|to|would|should) .{1,80} (?:work|calculated|computed|determined|measured|formed"
    r"|made|form|implement|parse|sort)",
)

_TIMES: Final = _any(
    r"today(?:'?s)?",
    r"tonight(?:'?s)?",
    r"tomorrow(?:'?s)?",
    r"yesterday(?:'?s)?",
    r"(?:right|just|as of|until|up to) now",
    r"now(?=\W*(?:$|[?!.]))",
    r"yet(?=\W*$)",
    r"(?:has|have) [\w' ]{1,40} (?:announced|released|launched|died|resigned)",
    r"nowadays",
    r"these days",
    r"at (?:the|this) (?:moment|present time)",
    r"currently",
    r"(?<!electric )(?<!electrical )(?<!alternating )(?<!direct )(?<!ocean )(?<!eddy )(?<!a )current(?! (?:in an?"
    r"|account|affairs|director(?:y|ies)|folder|divider|source|density|flow|function|user|value|element|node|thread"
    r"|state|line|row|index|item|object|branch|page|tab|window|selection|mirror|transformer|through)\b)",
    r"latest",
    r"newest",
    r"(?:most )?recent(?! call)",
    r"recently",
    r"up[- ]to[- ]date",
    r"as of",
    r"so far",
    r"(?:this|last|next|past|previous|coming) (?:week|month|year|quarter|season|weekend|morning|afternoon|evening"
    r"|night|summer|winter|spring|fall|autumn|decade|monday|tuesday|wednesday|thursday|friday|saturday"
    r"|sunday)(?:'?s)?",
    r"last (?:few|couple of|\d+) (?:hours|days|weeks|months)",
    r"still (?:alive|open|available|supported|maintained|in business|running|president|married)",
    r"(?:upcoming|breaking|trending|live)(?! (?:with|in|on|at|a|the|by|together|longer)\b)",
    r"(?<![\d.,$€£#/-])20(?:2[4-9]|3\d)(?:'s)?(?![\d%]|[.,]\d)",
)
_TOPICS: Final = _any(
    r"news(?! ?(?:paper|letter|group|reader|room)s?)",
    r"headlines",
    r"weather",
    r"forecasts?",
    r"(?:rain|snow)(?:ing)? in",
    r"stock market",
    r"(?:temperature|humidity|air quality|traffic|pollen count) (?:in|at|on|for|outside)",
    r"(?:stock|share|gas|fuel|oil|gold|house|housing|petrol|crypto|bitcoin|btc|ethereum|eth|electricity"
    r"|ticket) prices?",
    r"pric(?:e|es|ing) (?:of|for)",
    r"(?:bitcoin|btc|ethereum|dogecoin|nasdaq|s&p 500|dow jones)(?: \w+){0,2} (?:worth|at|trading|doing|rate|price)",
    r"how much (?:does|do|is|are|would|will)(?: \w+){1,6} (?:cost|worth|selling for)",
    r"(?:exchange|interest|mortgage|inflation|unemployment|conversion) rates?(?= (?:of|for|between|from|in|at)\b"
    r"|\W*$)",
    r"(?:usd|eur|gbp|jpy|chf|inr|dollars|euros) (?:to|in|into|vs) (?:usd|eur|gbp|jpy|chf|inr|dollars|euros|pounds|yen)",
    r"market cap",
    r"who(?:'s| is| are)? (?:won|wins|winning|leading|playing|performing|hosting|running for)",
    r"(?:final|match|game|live|latest|the) scores?(?! (?:function|of a|variable|matrix))",
    r"(?:results?|winners?|standings|score|scores) (?:of|for|from|in) (?:the|today|last|this)(?: [\w'-]+){0,4} "
    r"(?:match|game|final|finals|race|election|elections|vote|tournament|cup|league|grand prix|open|oscars|awards)",
    r"standings",
    r"(?:election|exit poll|opinion poll|lottery) (?:results?|polls?|winner|numbers)",
    r"(?:release|launch|air|premiere|opening|closing) dates?",
    r"when (?:is|are|does|do|will|did)(?: [\w'.:-]+){1,8} (?:releas\w+|coming out|come out|came out|launch\w*"
    r"|premier\w+|air|airing|open|close|start|begin|play|playing|next|due|scheduled|available|on sale|announced?)",
    r"when(?:'s| is) the next",
    r"(?:opening|business|store|office) hours",
    r"(?:schedule|timetable|kick-?off|line-?up|showtimes?|fixtures?|itinerary)"
    r" (?:of|time|today|tonight|at|for (?:the|today|tonight|this|next))",
    r"(?:train|bus|flight|tv|match|game|race|nba|nfl|nhl|mlb|f1|ferry) (?:schedules?|timetables?|status|times)",
    r"showtimes",
    r"open (?:now|today|late|on)",
    r"(?:near|around|close to) me",
    r"nearby",
    r"who(?:'s| is) (?:the |now |now the )+(?:(?!first|second|third|last|main)[\w'-]+ ){0,3}(?:president"
    r"|prime minister|chancellor|king|queen|pope|mayor|governor|minister|ceo|cto|cfo|chair(?:man|woman|person)?|head"
    r"|leader|owner|coach|captain|champion|secretary(?: general)?|director)(?: (?:of|at|in)(?! (?:the )?(?:story"
    r"|novel|book|film|movie)\b)|\W*$)",
    r"who(?:'s| is| are)? the (?:richest|oldest|youngest|tallest|fastest|highest[- ]paid|best[- ]paid|top)",
    r"(?:which|what)(?:'s| is| are)?(?: the)?(?: [\w.'-]+){0,3} versions? (?:of|is|should)",
    r"(?:newest|last|stable|lts) (?:release|version)s?",
    r"what (?:time|day|date) is it",
    r"(?:what(?:'s| is) )(?:the )?(?:date|time) (?:in|today|now)",
    r"what(?:'s| is| has) (?:been )?(?:happening|happened|going on|new) (?:in|with|to|at|on)",
    r"(?:reviews?|ratings?) (?:of|for)(?! (?:code|a)\b)",
    r"best [\w ]{1,40} to (?:buy|visit|watch|eat)",
    r"where (?:can|could|do|should) (?:i|we) (?:buy|get|find|watch|stream|order)(?! (?:the )?(?:rid|help|motivation"
    r"|courage)\b)",
    r"(?:flights?|hotels?|tickets?|restaurants?|concerts?) (?:in|from|to|near|for|at)(?= \w)",
    r"(?:phone number|address|contact details) (?:of|for)",
)


def wants_search(question: str) -> bool:
    """Whether a question asks about the present, about something that only the web knows, or for a search.

    Never raises, and takes less than 10 ms for any text.
    """
    text = _CODE.sub(" ", question[:MAX_CHARS].replace("\u2019", "'")).strip()
    request = text[_courtesies(text) :]
    if not request or _DECLINED.search(text) or any(kind.fullmatch(request) for kind in (_PLEASANTRY, _ARITHMETIC)):
        return False
    if _REWORKING.match(request) or _MAKING.match(request):
        # The text to change follows a colon, stands in quotes or on further lines. Only the order itself is looked at.
        order = _QUOTED.sub(" ", request.partition("\n")[0].partition(": ")[0])
        return bool(_ASKED.search(order))
    if _HOW_IN_CODE.search(text):
        return False
    if _ASKED.search(text) or _URL.search(text):
        return True
    return not _ABOUT_THE_CHAT.search(text) and any(map(_asks_for_news, _CLAUSE_END.split(_QUOTED.sub(" ", text))))


def _asks_for_news(clause: str) -> bool:
    is_about_writer = _OF_ONESELF.match(clause)
    is_about_word = _OF_A_WORD.search(clause)
    return bool((not is_about_writer and _TIMES.search(clause)) or (not is_about_word and _TOPICS.search(clause)))


def _courtesies(text: str) -> int:
    """How many characters of courtesies stand at the beginning of a request."""
    found = _COURTESY.match(text)
    return found.end() if found else 0
