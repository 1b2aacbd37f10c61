"""Words by which people say, in many languages, that something is no longer as it was. Patterns without case, one a language.

Each stands for whole words. None is a word that mostly says something else: "now" and "new" count only in company.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

WORDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "en": r"\b(?:after all(?! (?:the|that|those|these|of|my|our|his|her|their|this|i|we|you|it)\b)"
        r"|instead\b(?! of \w+ing\b)|no longer(?! than)|any ?more(?! than)|from now on|these days|nowadays|rather than"
        r"|changed (?:my|our) minds?|change of plans?|new plan|on second thoughts?|reconsidered|decided (?:against|not to)"
        r"|(?:scratch|strike) that|make (?:it|that) (?:the|an?|on|at|\d)|(?:i|we) meant|(?:i|we)(?:['\u2019]ve"
        r"| have)?(?: just| now)? (?:(?:switched|moved|changed|relocated|migrated) (?:over |back |on )?(?:to|from|into"
        r"|in with|house|out)(?! tears\b)|gave up|given up|quit|stopped \w+ing|ditched|got (?:promoted|married|divorced"
        r"|engaged|fired|rid))|(?:has|have|was|were|is|are|been|got|gets|['\u2019]s) (?:been )?(?:moved|pushed|postponed"
        r"|rescheduled|shifted|changed|renamed|relocated|delayed|brought forward|put (?:off|back)) (?:back |out )?(?:to|until"
        r"|till|by|from)(?! tears\b)|moves to(?! (?:its|their|the end)\b)|turns out (?:that|we|i|to be|my|our)\b"
        r"|used to\b.{1,80}\b(?:but|now)|(?:my|our) new (?:[\w-]+ ){1,2}(?:is|are|ends|starts|will)|(?:my"
        r"|our) new [\w-]+['\u2019]s|replaced (?:by|with)|called off|(?:swapped|traded|exchanged) (?:\w+ ){1,4}for|(?:has"
        r"|have|is|are) now|since (?:last )?(?:\w+day|week|month),? (?:i|we)|on reflection|(?:is|was|been|got"
        r"|['\u2019]s) cancell?ed|as of (?:now|today|tomorrow|this|next|\w+day|\d)|(?:we|i)['\u2019](?:re|m) back to)\b"
        r"|^\W*(?:no more|forget \w+, |postpone (?:it|that)|actually,? (?:let['\u2019]s|we|i|it['\u2019]s|make|no)|turns out"
        r"|correction|update:)\b|(?<!right)(?<!for)(?<!just)(?<!by)(?<!until)(?<!from)(?<!even)(?<=\w) now(?=\W*$|,)",
        "de": r"\b(?:(?:nun|jetzt|dann|also) doch|doch (?:lieber|nicht|kein\w*|erst|besser|eher|wieder)|stattdessen|anstelle"
        r"|anstatt|statt|ab (?:jetzt|sofort|heute|morgen|nun|nächst\w+)|von (?:jetzt|nun) an|künftig|in zukunft|inzwischen"
        r"|mittlerweile|neuerdings|(?:(?<!weiß )nicht|(?<!gibt )(?<!gibt es )(?<!hier )kein\w* [^.]{1,40}) mehr"
        r"|seit (?:letzte\w+ )?(?:\w+tag|woche|monat) (?:\w+ )?(?:ich|wir)|(?:ist|sind|findet|heißt) (?:jetzt|nun)|vorgezogen"
        r"|wird nichts|getauscht|dann lieber|(?:anders|noch einmal|nochmal) überlegt|umentschieden|meinung geändert"
        r"|verschoben|verlegt|vorverlegt|abgesagt|umgezogen|umgestiegen|umbenannt|gewechselt|(?:mein"
        r"|unser)\w* neue\w* (?:\w+ ){1,2}(?:ist|sind|heißt|lautet)|(?:heiß|wohn|arbeit|leb|trink|ess|nehm"
        r"|mach)\w* (?:\w+ )?(?:jetzt|nun)|jetzt (?:in|im|bei|auf|um|nur|kein\w*|immer)|ich meinte|aufgehört)\b",
        "fr": r"\b(?:finalement|tout compte fait|en fin de compte|désormais|dorénavant|à partir (?:de|du) (?:maintenant"
        r"|demain|lundi|mois|\d)|changé d['\u2019]avis|(?:ai|a|est|sont|été|ont) (?:été )?(?:reporté|déplacé|décalé|avancé"
        r"|annulé)\w*|(?:est|sont) passée?s? (?:au|à|en)|au lieu d[eu'\u2019]|à la place|(?:sera|prend\w*|prenons|préfère"
        r"|mais|ou) plutôt|plutôt que|en fait,? (?:ce sera|on|nous|non|je)|déménagé|(?:ma|mon|mes|notre|nos) nouve(?:au|l"
        r"|lle)s? (?:\w+ ){1,2}(?:est|sont|s['\u2019]appelle)|depuis (?:lundi|mardi|mercredi|jeudi|vendredi|samedi|dimanche"
        r"|hier),? (?:je|j['\u2019]|nous|on)|(?:est|sont|sera) maintenant|réflexion faite|maintenant (?:je|on|nous"
        r"|j['\u2019])|je voulais dire|arrêté d[e'\u2019]|remplacé\w* par)(?!\w)|\b(?:ne (?!sai[ts]|peu[xt]|savons)"
        r"|n['\u2019](?!y |ai ))\w+ plus\b(?! (?:de|que) \w+ que)",
        "es": r"\b(?:al final(?! de)|ya no\b(?! (?:queda|hay|s[eé]|puedo)\b)|de ahora en adelante|(?:a partir"
        r"|desde) de? ?(?:ahora|hoy|mañana|este)|(?:cambi\w+|mudad\w+) de (?:opinión|idea|planes)|(?:cambió|pasó|movió|aplazó"
        r"|adelantó|pospuso|trasladó|canceló) (?:al?|para)|(?:aplazad|cancelad|pospuest|trasladad|adelantad)[oa]s?"
        r"|ahora (?:viv|trabaj|us|prefer|prefier|beb|tom|com|voy|vamos|soy|somos|es|son|está)\w*|en (?:vez|lugar) de"
        r"|mejor dicho|pensándolo mejor|(?:mi|nuestr[oa])s? nuev[oa]s? (?:\w+ ){1,2}(?:es|son|se llama)"
        r"|desde (?:el )?(?:lunes|martes|miércoles|jueves|viernes|sábado|domingo|ayer)|cambi(?:é|amos|aron"
        r"|ado) (?:\w+ ){1,3}por|pensándolo bien|(?:ha|han) (?:pasado|movido|cambiado) (?:\w+ ){1,4}al?|(?:nos"
        r"|me) mud[aeé]\w*|mudado|quise decir|dej(?:é|amos|ado) de|(?:,|pero|no,?) mejor)\b|^\W*mejor (?!amig|dicho)\w+(?:mos"
        r"|é|o)\b",
        "it": r"\b(?:alla fine(?! d)|non (?!c['\u2019]è|so )[\w'\u2019]+ (?:\w+ )?più|d['\u2019]ora in (?:poi|avanti)"
        r"|da (?:ora|oggi|adesso|domani) in poi|cambiato idea|ripensandoci|(?:spostat|rinviat|anticipat|rimandat|annullat"
        r"|trasferit|sostituit)[aoie]|invece(?! che)|al posto d|(?:adesso|ora) (?:abit|viv|lavor|us|prend|bev|mang|prefer"
        r"|siamo|sono|è)\w*|(?:mi[oa]|nostr[oa]) nuov[oa] (?:\w+ ){1,2}(?:è|si chiama)|da (?:lunedì|martedì|mercoledì|giovedì"
        r"|venerdì|sabato|domenica|ieri)|(?:è|sono) (?:adesso|ora)|cambiato (?:\w+ ){1,3}con|smesso di|volevo dire)\b"
        r"|^\W*anzi\b|, anzi\b",
        "pt": r"\b(?:já não(?! há)|não (?!há|tem|sei)\w+ mais|a partir de (?:agora|hoje|amanhã)|de agora em diante"
        r"|daqui (?:em|para|por) (?:diante|a? ?frente)|mud(?:ei|ámos|amos|ou) de (?:ideias?|opinião|planos)|(?:passou|mudou"
        r"|adiad[ao]|antecipad[ao]|transferid[ao]|movid[ao]|mudei-?me|mud[aá]mo-?nos|me mudei|nos mudamos) (?:para|pra)"
        r"|cancelad[ao]|em (?:vez|lugar) d[eoa]|ao invés|agora (?:mor|viv|trabalh|us|beb|com|prefir|sou|somos|é|são|estou)\w*"
        r"|(?:meu|minha|nosso|nossa) nov[oa] (?:\w+ ){1,2}(?:é|chama-se|se chama)|desde (?:segunda|terça|quarta|quinta|sexta"
        r"|sábado|domingo|ontem)|(?:é|são) agora|troc(?:ámos|amos|uei) (?:\w+ ){1,3}por|(?:deixei|parei) de|pensando melhor"
        r"|quis dizer|no fim das contas)\b|^\W*afinal,? (?:vamos|vou|é|fica\w*|não|somos|quer\w*)\b",
        "nl": r"\b(?:toch (?:met|maar|niet|liever|wel|geen|naar|in|op|een|de|het|nog)"
        r"|(?<!er is )(?<!er zijn )geen (?:\w+ ){1,3}meer|niet meer|vanaf (?:nu|vandaag|morgen|volgende)|voortaan|verplaatst"
        r"|verschoven|verzet|uitgesteld|afgelast|bedacht|van gedachten veranderd|in plaats van|tegenwoordig|inmiddels|(?:mijn"
        r"|onze?) nieuwe (?:\w+ ){1,2}(?:is|zijn|heet)|(?:is|zijn) (?:nu|nou) (?:in|op|om|bij|naar|met)|sinds (?:\w+dag"
        r"|vorige)|geruild|verhuisd|overgestapt|bij nader inzien)\b",
        "sv": r"\b(?:i ?stället|inte (?:\w+ ){0,3}längre|från och med|hädanefter|fram(?:över|deles)|flytta(?:t|d|ts|de|des)"
        r"|ändrat (?:mig|oss)|numera|nuförtiden|trots allt|(?:min|mitt|mina|vår|vårt|våra) nya? (?:\w+ ){1,2}(?:är|heter)"
        r"|är nu (?:i|på|kl|hos|den|klockan)|sedan (?:i )?\w+dags?|bytte|inställ[dt]|slutat|bytt till)\b",
        "da, nb": r"\b(?:alligevel|likevel|i ?stedet|ikke (?:\w+ ){0,3}(?:længere|lenger)|fra n[uå] af?v?|fremover"
        r"|flyttet til|flyttede til|ombestemt (?:mig|meg|os|oss)|skiftet mening|(?:min|mit|mitt|vores"
        r"|vår) nye? (?:\w+ ){1,2}(?:er|hedder|heter)|er nu (?:i|på|kl)|siden \w+dag|udsat|utsatt|nu om dage|nå for tiden"
        r"|sluttet)\b",
        "fi": r"\b(?:sittenkin|enää|tästä lähtien|nykyään|vaihdoin|vaihdoimme|muutin|muutimme|siirrettiin|siirtyi|sijaan"
        r"|sijasta|peruttiin|uusi \w+ni|uusi \w+mme)\b",
        "pl": r"\b(?:jednak|nie (?!ma\b)\w+ już|już nie|od (?:teraz|dziś|dzisiaj|jutra)|przenie(?:siono|sion\w+|śli\w+)"
        r"|przełożon\w*|zmieni(?:łem|łam|liśmy) zdanie|rozmyśli\w+|zamiast|(?:mój|moja|moje"
        r"|nasz\w*) now\w+ (?:\w+ ){1,2}(?:to|jest|nazywa)|jest teraz (?:w|o|na|u)|od (?:poniedziałku|wtorku|środy|czwartku"
        r"|piątku|soboty|niedzieli)|przeprowadzi\w+|odwołan\w*|przesta(?:łem|łam|liśmy)|teraz (?:mieszk|prac|używ|pij)\w*)\b",
        "cs, sk": r"\b(?:nakonec|už ne\w+|od (?:teď|teďka|nynějška|zítřka|teraz)|odteď|přes(?:ouvá|unu)\w*|od (?:pondělí"
        r"|úterý|středy|čtvrtka|pátku|soboty|neděle)|je teď v|přeložen\w*|presunut\w*|preložen\w*|rozmysle?l\w*"
        r"|změnil\w* názor|místo toho|namísto|namiesto|(?:můj|moje|náš|naše|môj) nov\w+|přestěhoval\w*|zrušen\w*|raději"
        r"|radši)",
        "ru": r"\b(?:вс[её]-таки|вс[её] же|больше не|теперь(?! (?:я |мне |всё |все )?(?:поня|пони|ясно|вижу|знаю))|отныне"
        r"|впредь|перен(?:если|есен\w*|есён\w*|осится|осим)|передумал\w*|вместо|переехал\w*|переш(?:ли|ла|ёл|ел)|(?:мо[йяеё]"
        r"|наш\w*) нов\w+ \w+ (?:[\u2013\u2014-]|зовут|это)|с (?:понедельника|вторника|среды|четверга|пятницы|субботы"
        r"|воскресенья)|поменял\w*|отмен(?:или|ена|ён\w*|ен\w*)|лучше (?:дава|возьм|сдела|поед|куп)\w*|точнее|бросил\w?"
        r"|ошиб(?:ся|лась)|вернее)\b",
        "uk": r"\b(?:у?все-?таки|усе-таки|все ж|більше не|відтепер|віднині|тепер(?! (?:я )?(?:розум|знаю|бачу))|перенес\w+"
        r"|передума\w+|замість|переїха\w+|(?:мій|моя|моє|наш\w*) нов\w+ \w+ (?:[\u2013\u2014-]|звати|це)|з (?:понеділка"
        r"|вівторка|середи|четверга|суботи|неділі)|скасува\w+|скасован\w+)\b",
        "bg, sr, hr": r"\b(?:вече не|все пак|отсега|вместо това|преместих\w*|отложен\w*|više ne|ipak|umjesto|umesto"
        r"|preselil\w*|odgođen\w*|predomislil?\w*|od sada)\b",
        "ro": r"\b(?:până la urmă|nu mai|de acum (?:înainte|încolo)|m-am răzgândit|ne-am răzgândit|în loc de|în schimb"
        r"|amânat\w*|mutat(?:ă)? (?:la|pe)|ne-am mutat|m-am mutat|(?:noul|noua) me[ua])\b",
        "hu": r"\b(?:mégis|mégse|mégsem|már nem|többé nem|mostantól|ezentúl|helyett|meggondolt\w*|elköltöz\w*|áttettük"
        r"|áttették|elhalaszt\w*|az új \w+m)\b",
        "el": r"\b(?:τελικά|(?:δεν|μην) [^.]{1,40}\b(?:πια|πλέον)|από (?:εδώ|δω|τώρα|σήμερα) και|αλλάξ(?:α|αμε) γνώμη"
        r"|μεταφέρθηκε|αναβλήθηκε|ακυρώθηκε|αντί (?:για|να)|αντ['\u2019] αυτού|μετακ(?:ό|ο)μ\w+|ν[έε][οα]ς? \w+ μου)\b",
        "tr": r"\b(?:artık|bundan (?:sonra|böyle)|karar verdi\w*|fikrim\w* değiş\w+|vazgeçt\w+|yerine(?! (?:otur|koy|geç"
        r"|geldi))(?<!^yerine)|\w+(?:tesi|zar|salı|şamba|şembe|cuma)(?:den|dan|ten|tan) beri|\w+[aeuıüiy] alındı|ertelendi"
        r"|taşındı\w*|değişti(?:rdi\w*)?|yeni \w+(?:m|[ıiuü]z|m[ıiuü]n)|iptal (?:edildi|oldu|ettik)|daha doğrusu|bıraktım"
        r"|bıraktık)\b",
        "ar": r"في النهاية(?! ال)|لم (?:أعد|نعد|يعد|تعد)(?!\w)|من الآن فصاعد|بعد الآن|ت(?:م ت)?أجيل|تأجل|تم نقل|انتقل(?:نا|ت)"
        r"|غير(?:ت|نا) (?:رأي|ال)|منذ (?:الاثنين|الثلاثاء|الأربعاء|الخميس|الجمعة|السبت|الأحد)|بدل\S{0,3} من|عوض\S{0,3} عن"
        r"|أصبح|صار(?:ت|نا)?(?!\w)|ألغي|تراجعت عن|قررنا|\w+ي الجديد",
        "he": r"\bבסוף(?! ה)|\bכבר לא\b|\bלא [^.]{1,30}\bיותר\b|\bמעכשיו\b|\bמהיום\b|\bבמקום\b|\bשיני(?:תי|נו) את דעת"
        r"|\bהתחרטתי\b|\bעבר(?:תי|נו) (?:ל|דירה)|\bנדח(?:ה|תה)\b|\bהועבר|\bהוזז|\bבוטל|\bהחדשה? שלי",
        "fa": r"\bبالاخره\b|\bدیگر (?:\S+ ){0,3}ن(?:می|خواه|دار)|\bاز (?:این|حالا|امروز) به بعد\b|\bبه ?جای\b|\bعوض شد"
        r"|اسباب.?کشی|نقل مکان|به تعویق|موکول شد|منتقل شد|لغو شد|پشیمان شد|\bجدیدم\b|تصمیم گرفت",
        "hi": r"(?:^|\s)अब (?:[^ ]+ ){1,3}नहीं|(?:सोम|मंगल|बुध|गुरु|शुक्र|शनि|रवि)वार से|(?:^|\s)अब [^।]{1,20}वार|(?:^"
        r"|\s)अब (?:से|हम|मैं|मेर[ाीे]|हमार[ाीे])(?!\w)|के बजाय|की जगह|बदल (?:दिया|गया|गई|लिया)|आगे से|(?:इरादा|मन|विचार) बदल"
        r"|(?:मेर|हमार)[ाी] नय?[ाईी]|रद्द|छोड़ दिया|आख़?िरकार|टाल (?:दी|दिया)",
        "zh": r"还是[^。吗呢]{1,20}吧|還是[^。嗎呢]{1,20}吧|不再|改(?:成|到|为|在|用|主意|变主意|期|名|吃|喝|住|去|叫)"
        r"|改(?:為|變主意)|[变變換换](?:成|到)|從?从?现在起|從現在起|(?:从|從)(?:今天|明天|今)起|以[后後](?:都|请|請|不|就)"
        r"|^\W*算了|(?:不|别|別)(?:做|要|去|吃|喝|用|买|買|住|选|選|叫|在)[^，。]{0,12}了|而不是|搬(?:到|去|家)|取消|推迟"
        r"|推遲|延期|提前到|戒了|戒掉|(?:从|從)(?:周|星期|礼拜)[一二三四五六日天]起|更正|(?:最后|最後)(?:还是|還是|决定|決定)"
        r"|(?:我|我们|我們|咱们)的新|(?:现在|現在)(?:住|改|用|换|換|叫)|不是[^，。]{1,12}[，,]?而?是",
        "ja": r"やっぱ(?:り)?(?!.{0,60}ね\W*$)|やはり(?!.{0,60}ね\W*$)|それより|もう[^。、]{1,20}(?:ません|ない|なく|やめ)"
        r"|これからは|今後は|(?:今日|明日|来週|来月)からは?[^。]|変更(?:に|し(?:ました|て|ます))|変わりました|に変わ|気が変わ"
        r"|考え直|じゃなくて|ではなくて?[、\w]|(?:引っ越|引越)し|延期|中止に|やめ(?:ました|て|た)|今は[^。]{1,20}(?:住んで"
        r"|勤め|働いて|使って|飲んで|食べて)|代わりに|[日曜時]にな(?:りました|った)|ことに(?:しました|した|なりました)"
        r"|[月火水木金土日]曜日?から|訂正|(?:私|僕|うち)の新しい",
        "ko": r"그냥 [^.]{1,40}(?:기로|할게|하자|갈게|로 해)|기로 했|이제(?:는|부터|부터는)? [^.]{1,30}(?:안 |않|못|없|그만)"
        r"|앞으로는|로 (?:바뀌|바꾸|바꿨|변경|옮겼|옮기|미뤄|연기)|(?:마음|생각)이 바뀌|대신(?:에)? |더 ?이상|이사(?:했|갔"
        r"|왔)|말고|취소|아니,? 그냥|생각해 보니|[월화수목금토일]요일부터|이젠|끊었|그만뒀|(?:제|내|우리) 새 ",
        "vi": r"^\W*thôi\b|\bkhông [^.]{1,40} nữa\b|\btừ (?:giờ|nay|bây giờ|hôm nay|ngày mai)\b|\bdời (?:sang|đến|lại)\b"
        r"|\bhoãn\b|\b(?:đổi|chuyển) (?:sang|ý|thành|qua|đến|tới)\b|\bthay vì\b|\bthay vào đó\b|\brốt cuộc\b"
        r"|\bcuối cùng (?:thì )?(?:chúng|mình|tôi)|\bhủy\b|\bmới của (?:tôi|mình|chúng)",
        "id, ms": r"\b(?:akhirnya (?:kami|kita|saya|aku)|(?:tidak|tak|nggak|gak) (?:\w+ ){1,3}lagi|mulai (?:sekarang|hari ini"
        r"|besok)|(?:dipindah|diundur|ditunda|dimajukan|dibatalkan|diganti)\w*|berubah pikiran|ganti (?:jadi|ke)|(?:tidak"
        r"|nggak|gak) jadi|jadi (?:hari|jam|tanggal)|sejak (?:senin|selasa|rabu|kamis|jumat|sabtu|minggu)|sebagai gantinya"
        r"|alih-alih|pindah ke|\w+ baru (?:saya|kami|kita))\b",
        "th": r"^\W*สุดท้าย|ไม่[^ ]{1,20}แล้ว|ต่อไปนี้|ตั้งแต่(?:นี้|วันนี้)|จากนี้|เลื่อน(?:เป็น|ไป)|เปลี่ยน(?:ใจ|เป็น|ไป)"
        r"|ย้าย(?:ไป|มา)|ยกเลิก|เลิก(?=กิน|ดื่ม|ใช้|สูบ)",
    }
)

SCRIPTS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "bg, sr, hr": "a-z\u0400-\u04ff",
        "ru": "\u0400-\u04ff",
        "uk": "\u0400-\u04ff",
        "el": "\u0370-\u03ff",
        "ar": "\u0600-\u06ff",
        "fa": "\u0600-\u06ff",
        "he": "\u0590-\u05ff",
        "hi": "\u0900-\u097f",
        "zh": "\u4e00-\u9fff",
        "ja": "\u3040-\u30ff",
        "ko": "\uac00-\ud7a3",
        "th": "\u0e00-\u0e7f",
    }
)
"""The letters of languages that are not written in Latin ones: without such a letter, their words need not be looked for."""
