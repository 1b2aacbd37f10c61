"""Conversations in several languages, each with summaries that an honest model would write.

`close` keeps the words of the conversation, `free` says the same in other words.
"""

from typing import Final, NamedTuple


class Conversation(NamedTuple):
    """Messages, by turns the user's and the assistant's, and two honest summaries."""

    messages: tuple[str, ...]
    close: str
    free: str

    @property
    def by_user(self) -> tuple[str, ...]:
        return self.messages[::2]


CONVERSATIONS: Final = {
    "english": Conversation(
        (
            "Hi! My name is Sam and I'm planning a trip to Norway with my daughter Ella in July.",
            "Lovely! Norway in July has long days. How many days do you have?",
            "Ten days, and the budget is 3,200 euros. I am vegetarian and Ella can't eat nuts.",
            "Noted: ten days, 3,200 euros, vegetarian food, no nuts. Would you like fjords or cities?",
            "Fjords, please. We don't want to drive, trains and ferries are fine.",
            "Then Bergen is a good base: the Flåm railway and the Nærøyfjord ferry are close.",
            "Good, let's start in Bergen. Please always answer with a short list.",
            "Will do. Shall I propose a plan day by day?",
        ),
        "Sam plans a trip to Norway in July with daughter Ella: ten days, 3,200 euros. Sam is vegetarian, Ella can't eat "
        "nuts. They want fjords, by trains and ferries, no driving, and start in Bergen. Answers should be short lists.",
        "Sam (vegetarian) is going on a ten-day holiday in Norway this July together with his child Ella, who has a nut "
        "allergy. He can spend 3,200 euros, prefers fjords over towns and public transport over a car. Bergen will be the "
        "starting point. He asked for brief lists. A daily itinerary was offered.",
    ),
    "german": Conversation(
        (
            "Hallo, ich suche eine neue Heizung für unser Haus in Freiburg. Das Haus ist von 1974.",
            "Guten Tag! Wie groß ist das Haus, und womit heizen Sie heute?",
            "140 Quadratmeter, und im Keller steht noch eine Ölheizung. Meine Frau Katrin möchte kein Gas mehr.",
            "Dann kommt eine Wärmepumpe in Frage. Haben Sie schon Angebote eingeholt?",
            "Ja, eines von der Firma Wagner über 28.500 Euro. Das ist mir zu teuer, mehr als 22.000 Euro will ich nicht zahlen.",
            "Mit der Förderung sinkt der Preis deutlich. Ich kann Ihnen die Rechnung zeigen.",
            "Gerne. Bitte duzen Sie mich, ich bin der Jörg.",
            "Alles klar, Jörg. Dann rechne ich dir die Förderung aus.",
        ),
        "Jörg sucht eine neue Heizung für sein Haus in Freiburg (1974, 140 Quadratmeter, bisher Ölheizung). Seine Frau Katrin "
        "möchte kein Gas. Das Angebot der Firma Wagner über 28.500 Euro ist ihm zu teuer, er will höchstens 22.000 Euro zahlen. "
        "Er möchte geduzt werden.",
        "Für ein Gebäude aus dem Jahr 1974 in Freiburg mit 140 m² soll die alte Ölheizung ersetzt werden, am besten durch eine "
        "Wärmepumpe, denn Katrin lehnt Gas ab. Wagner verlangt 28.500 Euro; Jörgs Grenze liegt bei 22.000 Euro. Der Assistent "
        "duzt ihn nun und berechnet die staatlichen Zuschüsse.",
    ),
    "french": Conversation(
        (
            "Bonjour, je m'appelle Élodie et j'ouvre une petite librairie à Nantes en septembre.",
            "Félicitations Élodie ! De quoi avez-vous besoin ?",
            "D'un logiciel de caisse. J'ai environ 4 000 livres et un budget de 60 euros par mois.",
            "Il existe plusieurs solutions adaptées aux libraires indépendants.",
            "Je préfère un logiciel libre, et mon associé Karim tient à ce que les données restent en France.",
            "Dans ce cas, je regarde les offres hébergées en France.",
            "Finalement nous prenons aussi les jeux de société, environ 300 références.",
            "C'est noté, le catalogue aura aussi des jeux.",
        ),
        "Élodie ouvre une librairie à Nantes en septembre avec son associé Karim. Elle cherche un logiciel de caisse libre pour "
        "environ 4 000 livres et 300 jeux de société, budget 60 euros par mois, données hébergées en France.",
        "La cliente, Élodie, lance à la rentrée à Nantes un commerce de livres et de jeux (4 000 titres, 300 jeux). Elle veut "
        "un outil d'encaissement open source coûtant au plus 60 euros mensuels ; Karim exige un hébergement en France.",
    ),
    "spanish": Conversation(
        (
            "Hola, soy Lucía. Tengo diabetes tipo 1 y quiero correr mi primer maratón en Valencia.",
            "¡Hola Lucía! ¿Cuándo es la carrera y cuánto corres ahora?",
            "El 6 de diciembre. Ahora corro unos 25 kilómetros por semana.",
            "Es una buena base. Habrá que vigilar la glucosa en las tiradas largas.",
            "Mi médico, el doctor Ferrer, dice que lleve geles siempre. No me gusta entrenar por la mañana.",
            "Entonces planificamos los entrenamientos por la tarde.",
            "Perfecto. Los miércoles no puedo, tengo clase de cerámica.",
            "De acuerdo, los miércoles serán de descanso.",
        ),
        "Lucía tiene diabetes tipo 1 y quiere correr su primer maratón en Valencia el 6 de diciembre. Corre 25 kilómetros por "
        "semana. El doctor Ferrer recomienda llevar geles. No le gusta entrenar por la mañana y los miércoles no puede.",
        "Preparación del maratón de Valencia (6 de diciembre) para Lucía, diabética de tipo 1, que hace 25 km semanales. Debe "
        "llevar geles según Ferrer, entrenará por las tardes y descansará los miércoles por sus clases de cerámica.",
    ),
    "russian": Conversation(
        (
            "Здравствуйте! Меня зовут Ольга, я переезжаю из Казани в Тбилиси в марте.",
            "Здравствуйте, Ольга! С чем помочь?",
            "Со мной кот Барсик, ему 9 лет. Какие нужны документы?",
            "Нужны ветеринарный паспорт, чип и прививка от бешенства.",
            "Прививку сделали 12 января. Я боюсь летать, поэтому поедем на поезде и автобусе.",
            "Хорошо, тогда маршрут через Владикавказ.",
            "Квартиру ищу до 700 долларов, обязательно с балконом.",
            "Понял: до 700 долларов, с балконом.",
        ),
        "Ольга переезжает из Казани в Тбилиси в марте с котом Барсиком, 9 лет. Прививку сделали 12 января. Она боится летать, "
        "поедет на поезде и автобусе через Владикавказ. Ищет квартиру до 700 долларов с балконом.",
        "В марте Ольга меняет место жительства: вместо Казани будет Тбилиси. Девятилетний Барсик привит 12 января, ему нужны "
        "паспорт и чип. Самолёт исключён из-за страха, путь лежит наземным транспортом через Владикавказ. На жильё с балконом "
        "она готова тратить не более 700 долларов.",
    ),
    "chinese": Conversation(
        (
            "你好,我叫王小明,住在杭州,想学吉他。",
            "你好,小明!你以前学过乐器吗?",
            "小时候弹过三年钢琴。我的预算是1500元,每天可以练习40分钟。",
            "有钢琴基础很好。1500元可以买到不错的入门吉他。",
            "我是左撇子,需要左手吉他。我最喜欢的歌手是周杰伦。",
            "好的,我会推荐左手吉他和周杰伦的歌。",
            "请用简单的中文回答,不要用英文术语。",
            "没问题,我会用简单的中文。",
        ),
        "王小明住在杭州,想学吉他。他小时候弹过三年钢琴,预算1500元,每天练习40分钟。他是左撇子,需要左手吉他,喜欢周杰伦。"
        "请用简单的中文回答。",
        "用户小明(杭州)打算开始学吉他,有三年钢琴经验,花费不超过1500元,每天有40分钟练琴。因为惯用左手,要买左手款。"
        "偶像是周杰伦。回答时应避免英文术语。",
    ),
    "japanese": Conversation(
        (
            "こんにちは。大阪に住んでいる田中です。来月、母の還暦のお祝いを計画しています。",
            "おめでとうございます。どのようなお祝いをお考えですか。",
            "家族8人で食事をしたいです。予算は一人7000円です。父はエビのアレルギーがあります。",
            "8人、一人7000円、エビなしですね。和食と洋食のどちらがよろしいですか。",
            "和食がいいです。駅から近い個室を希望します。",
            "梅田駅の近くで個室のある和食の店を探します。",
            "日程は3月14日の土曜日にします。",
            "3月14日ですね。承知しました。",
        ),
        "大阪に住む田中さんは、3月14日の土曜日に母の還暦のお祝いを計画している。家族8人、予算は一人7000円、和食の個室で駅の近く。"
        "父はエビのアレルギーがある。",
        "田中さん(大阪在住)がお母様の還暦祝いの会食を準備中。3月14日、8名、7000円ずつ。梅田周辺の和食店の個室を探しており、"
        "お父様のエビアレルギーに注意が必要。",
    ),
    "arabic": Conversation(
        (
            "مرحبا، اسمي سلمى وأدرس الهندسة في جامعة القاهرة.",
            "أهلا سلمى! كيف أساعدك؟",
            "أحتاج إلى خطة للمذاكرة. عندي امتحان رياضيات يوم 20 يونيو وامتحان فيزياء بعده بأسبوع.",
            "كم ساعة يمكنك أن تذاكري كل يوم؟",
            "ثلاث ساعات في المساء، لأنني أعمل في مكتبة حتى الساعة 17:00.",
            "حسنا، ثلاث ساعات كل مساء بعد العمل في المكتبة.",
            "لا أحب الفيديوهات، أفضل الكتب والتمارين.",
            "سأقترح عليك كتبا وتمارين فقط.",
        ),
        "سلمى تدرس الهندسة في جامعة القاهرة. عندها امتحان رياضيات يوم 20 يونيو وامتحان فيزياء بعده بأسبوع. تذاكر ثلاث ساعات في "
        "المساء لأنها تعمل في مكتبة حتى الساعة 17:00. تفضل الكتب والتمارين ولا تحب الفيديوهات.",
        "طالبة هندسة بالقاهرة اسمها سلمى تريد خطة للمذاكرة قبل امتحان الرياضيات في 20 يونيو والفيزياء بعد أسبوع. وقتها المتاح "
        "ثلاث ساعات مساء بعد انتهاء عملها 17:00، وتميل إلى الكتب والتمارين بدل الفيديوهات.",
    ),
    "turkish": Conversation(
        (
            "Merhaba, ben Deniz. İzmir'de küçük bir kahve dükkânım var.",
            "Merhaba Deniz! Size nasıl yardımcı olabilirim?",
            "Günde yaklaşık 120 fincan satıyoruz. Süt fiyatı çok arttı, maliyeti düşürmek istiyorum.",
            "Tedarikçiyi değiştirmeyi düşündünüz mü?",
            "Evet, Ege Süt litreye 32 lira istiyor. Ben bitkisel süt kullanmak istemiyorum.",
            "32 lira iyi bir fiyat. Aylık ne kadar süt gerekiyor?",
            "Ayda 450 litre. Ortağım Selin kararı cuma günü verecek.",
            "Tamam, cuma gününe kadar bir karşılaştırma hazırlayalım.",
        ),
        "Deniz'in İzmir'de kahve dükkânı var, günde 120 fincan satıyor. Süt maliyetini düşürmek istiyor: Ege Süt litreye 32 "
        "lira istiyor, ayda 450 litre gerekiyor. Bitkisel süt istemiyor. Ortağı Selin kararı cuma günü verecek.",
        "İzmir'li kahveci Deniz süt giderlerini azaltmanın yolunu arıyor. Günlük satış 120 fincan, aylık ihtiyaç 450 litre. Ege "
        "Süt'ün teklifi 32 lira; bitkisel ürünler söz konusu değil. Son söz cuma günü ortak Selin'de.",
    ),
    "hindi": Conversation(
        (
            "नमस्ते, मेरा नाम रवि है और मैं जयपुर में रहता हूँ।",
            "नमस्ते रवि! मैं आपकी क्या मदद कर सकता हूँ?",
            "मुझे अपनी बेटी मीरा के जन्मदिन की योजना बनानी है। वह 12 मार्च को 7 साल की होगी।",
            "बहुत बढ़िया! कितने बच्चे आएँगे?",
            "लगभग 15 बच्चे। मेरा बजट 8000 रुपये है और हम शाकाहारी हैं।",
            "ठीक है, 15 बच्चों के लिए शाकाहारी खाना 8000 रुपये में।",
            "मीरा को हाथी बहुत पसंद हैं, केक पर हाथी होना चाहिए।",
            "हाथी वाला केक, समझ गया।",
        ),
        "रवि जयपुर में रहता है। उसकी बेटी मीरा 12 मार्च को 7 साल की होगी। जन्मदिन पर लगभग 15 बच्चे आएँगे, बजट 8000 रुपये, "
        "शाकाहारी खाना, केक पर हाथी होना चाहिए।",
        "जयपुर के रवि अपनी बेटी मीरा के सातवें जन्मदिन (12 मार्च) की तैयारी कर रहे हैं। 15 मेहमान बच्चे, खर्च 8000 रुपये तक, "
        "परिवार शाकाहारी। हाथी के आकार का केक चाहिए।",
    ),
    "korean": Conversation(
        (
            "안녕하세요, 저는 부산에 사는 김민지입니다. 강아지를 입양하려고 해요.",
            "안녕하세요, 민지 님! 어떤 강아지를 원하시나요?",
            "털이 많이 안 빠지는 작은 강아지요. 남편이 털 알레르기가 있어요.",
            "그러면 푸들이나 비숑이 좋습니다. 집은 어떤가요?",
            "아파트 12층이고 마당은 없어요. 한 달 비용은 20만원까지 괜찮아요.",
            "20만원이면 사료와 미용이 가능합니다.",
            "이름은 콩이로 정했어요. 5월 3일에 보호소에 갈 거예요.",
            "좋은 이름이네요! 5월 3일까지 준비물을 정리해 드릴게요.",
        ),
        "부산에 사는 김민지 님은 털이 많이 안 빠지는 작은 강아지를 입양하려고 한다. 남편이 털 알레르기가 있다. 아파트 12층, "
        "한 달 비용은 20만원까지. 이름은 콩이, 5월 3일에 보호소에 간다.",
        "김민지(부산)는 배우자의 알레르기 때문에 털 빠짐이 적은 소형견 입양을 계획 중이다. 아파트 12층에 거주하고 월 20만원까지 "
        "쓸 수 있다. 5월 3일 보호소 방문 예정이며 강아지 이름은 콩이다.",
    ),
    "thai": Conversation(
        (
            "สวัสดีค่ะ ฉันชื่อมะลิ อยู่เชียงใหม่ อยากเปิดร้านขนม",
            "สวัสดีค่ะคุณมะลิ อยากขายขนมแบบไหนคะ",
            "ขนมไทยค่ะ มีเงินลงทุน 80000 บาท และมีน้องสาวช่วยหนึ่งคน",
            "80000 บาทพอสำหรับร้านเล็กค่ะ",
            "ฉันไม่ใช้ผงชูรส และอยากเปิดร้านวันที่ 1 เมษายน",
            "ได้ค่ะ เปิดร้านวันที่ 1 เมษายน",
            "ค่าเช่าร้านต้องไม่เกิน 9000 บาทต่อเดือน",
            "รับทราบค่ะ ค่าเช่าไม่เกิน 9000 บาท",
        ),
        "มะลิอยู่เชียงใหม่ อยากเปิดร้านขนมไทยวันที่ 1 เมษายน มีเงินลงทุน 80000 บาท น้องสาวช่วยหนึ่งคน ไม่ใช้ผงชูรส "
        "ค่าเช่าร้านไม่เกิน 9000 บาทต่อเดือน",
        "คุณมะลิจากเชียงใหม่วางแผนทำร้านขนมไทย ทุน 80000 บาท โดยมีน้องสาวเป็นผู้ช่วย กำหนดเปิดต้นเดือนเมษายน "
        "จำกัดค่าเช่าไว้ที่ 9000 บาท และงดผงชูรส",
    ),
}
"""A conversation by its language."""
