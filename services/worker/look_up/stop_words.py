"""Words that say nothing about what a message is about: in several languages the same list, since nobody names a language.

Only words that no language of the list uses for a thing, and no name. What is missing here is common in a chat, and so counts
little (postgres.py).
"""

from typing import Final

_LATIN: Final = """
a about actually after again all also am an and another any anything are aren as ask asked at be because been before being
but by can could couldn did didn do does doesn doing don done for from further get give go goes going got had has have
haven having he hello her here hers hey hi him his how i if in into is isn it its just know let like ll me more most much my
no nor not now of off oh ok okay on once one only or other our out over own please put re really said same say says she
should so some something such sure tell thank thanks than that the their them then there these they thing things this those
though through to told too under until up us used very want wants was wasn we well were what whatever when where which while
who whom whose why will with without won would yes yet you your yours

aber alle alles als also am an andere auch auf aus bei bin bis bist bitte da dann das dass dein deine dem den denn der des
dich die dies diese dieser dir doch du ein eine einem einen einer eines er es etwas euch euer für gab ganz gibt haben habe
 hatte hier ich ihm ihn ihr ihre im in ist ja jetzt kann kannst kein keine können mein meine meinem meinen meiner mich
mir mit nach nein nicht noch nochmal nun nur ob oder ohne schon sehr sein seine sich sie sind so soll sollte über um und uns
unser vom von vor waren warum was weil welche welchem welchen welcher welches wenn wer werde werden wie wieder will wir
wird wo wurde zu zum zur

au aussi aux avais avait avec avez avoir bien c ça ce ces cet cette comme dans de des donc du elle elles en encore es
est et étais était être eu fait il ils j je l la le les leur lui ma mais me mes moi mon n ne nos notre nous on ont ou où par
pas plus pour pourquoi puis qu quand que quel quelle quelles quels qui quoi sa sans se ses si sont sur ta te tes toi
tu un une vos votre vous y

al algo ante antes así como con cual cuál cuando cuándo cuánto de del desde donde dónde e el él ella ellos en entre eran
eres es esa ese eso esta está estaba estas este esto estoy fue fueron ha había hace han hasta hay he la las le les lo los más
me mi mis muy ni no nos o para pero por porque qué quién se ser si sí sin sobre soy su sus también te tengo ti tiene tu
tus un una uno y ya yo

à ao aos as até com da das de dele dela do dos ela ele em essa esse esta está este eu foi isso isto já lhe mais mas me
mesmo meu meus minha minhas muito na não nas nem no nos o os ou para pela pelo por porque qual quando que quem se sem ser seu
são sua suas também te tem tenho teu tinha uma você voce

agli ai alla alle allo anche avere c che chi ci come con cosa così da dal dalla degli dei del della delle di dove due e è ed
 erano gli ha hai hanno ho i il io l la le lei lo loro lui ma mi mia mie miei mio molto ne negli nei nel nella no noi non
nostra nostro o per perché però più quale quando quanto quello questa queste questi questo se sei si sì sia siamo sono sta
sua sue sui sul sulla suo ti tra tu tua tuo un una uno vi

aan als bij dan dat de deze die dit doen een en er geen had heb hebben heeft het hij hoe hun ik in is je jij jouw kan maar me
meer met mij mijn naar niet nog nu of om omdat onder ons ook op te tot uit veel voor waar waarom wat we wel welke wie wij
worden wordt zal ze zich zij zijn zo

att av den det dig din du då efter eller en ett från för har hon hur i inte jag kan med men mig min mitt mycket när nu och
också om på så som till upp ut vad var vi vilken är

ale bo był była było być czy co dla do gdzie go i ich jak jaka jaki jakie jako jest jestem już kiedy kto który która które ma
mam mi mnie moja moje mój na nie o od po są się ta tak te tego tej ten to tu ty w z za ze że

bana ben bir bu böyle çok da daha de değil diye en gibi hangi için ile ise kadar ki kim mi mı mu mü nasıl ne neden nerede o
olan olarak sen şey şu var ve veya ya

ada adalah aku anda apa apakah atau bagaimana bahwa bisa dan dari dengan di dia dimana ini itu juga kami kapan karena ke kita
mana mereka oleh pada saya siapa tidak untuk yang
"""
_OTHERS: Final = """
а без был была были было быть в вам вас весь во вот все всё вы где да для до его ее её если есть еще ещё же за и из или им их
к как какая какие какой какую ко когда кто ли мне мной может мой моя моё мое моего моей моим моих моем моём мы на нам нас не
него нее неё нет но ну о об он она они оно от по под при про с свой себя со так также такой там тебя тем то того тоже той
только том ты у уже чем что чтобы это этой этом этот эту я

αυτό για δεν είναι ένα η και με μου να ο οι που πώς σε στη στην στο τα τη την της τι το του τους των

في من على عن إلى الى ما ماذا هو هي هذا هذه ذلك التي الذي أن ان إن كان كانت قد لا لم لن هل كيف أين متى أنا انا أنت انت مع و يا
كل أو او ثم بعد قبل

של את על לא זה זו היא הוא אני אתה מה איך איפה מתי עם או גם כי אם יש אין היה הייתה כל אל

का की के को है हैं में से पर और यह वह मैं मेरा मेरी मेरे क्या कौन कब कहाँ कैसे नहीं था थी थे हो ने भी तो एक इस उस

그 이 저 나 너 내 네 것 수 등 및 더 또 뭐 왜 좀 잘 안 내가 나는 저는 제가 제 우리 무엇 어디 언제 누구
"""

STOP_WORDS: Final = frozenset(_LATIN.split()) | frozenset(_OTHERS.split())
"""As `str.casefold` gives them."""

# Chinese and Japanese characters, and pairs of them, that are everywhere.
STOP_CHARACTERS: Final = frozenset(
    "的了是我你他她它们在有不人这那个就也和都说要去会吗呢吧啊么什一上下来到为与或及何哪谁请"
)
STOP_PAIRS: Final = frozenset(
    """什么 么是 我的 你的 他的 她的 是什 怎么 哪里 哪个 我们 你们 他们 这个 那个 可以 一个 还是 です ます した して
    でし は何 何で すか から ので ない ある いる こと もの これ それ あれ 私の 私は たい って という とい いう""".split()  # noqa: SIM905
)
