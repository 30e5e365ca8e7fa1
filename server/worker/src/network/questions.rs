//! Questions about hosts that no list names.

use std::{
    collections::HashMap,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use claudecluster_protocol::permission::{NETWORK_TOOL, PermissionDecision, PermissionKind};
use futures::{
    FutureExt as _,
    future::{Shared, WeakShared},
};
use serde_json::json;
use tokio::{
    runtime::Handle,
    sync::{mpsc, oneshot},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::host::HostPort;
use crate::agent::{PermissionQuestion, SessionClocks, ToolRequest};

/// The questions that one job may ask about hosts. More are denied: nobody answers them with care.
pub(super) const MOST_QUESTIONS: u32 = 64;
/// How long a question stays open after the last program that waited has left. Most programs give up sooner than a
/// person answers, and try again.
const LINGER: Duration = Duration::from_secs(120);
/// The characters of a program's own name that are shown.
const PROGRAM_CHARS: usize = 60;

/// What is asked about: a host, or the private address that its name leads to.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct HostSubject {
    /// The host and the port.
    pub(super) target: HostPort,
    /// The address, where the question is about it.
    pub(super) address: Option<std::net::IpAddr>,
}

/// The answer to a question: `None` allows, a text says why not.
type HostAnswer = Option<String>;
type AskedHost = Pin<Box<dyn Future<Output = HostAnswer> + Send>>;

/// Asks about hosts, each once.
///
/// An answer stands for the rest of the job: a program that installs packages opens many connections to a host,
/// and one that is denied tries again.
pub(super) struct HostQuestions {
    ask: Option<mpsc::UnboundedSender<PermissionQuestion>>,
    clocks: SessionClocks,
    answer_timeout: Duration,
    ended: CancellationToken,
    known: Arc<Mutex<KnownAnswers>>,
}

#[derive(Default)]
struct KnownAnswers {
    answered: HashMap<HostSubject, HostAnswer>,
    /// Questions that somebody waits for, or did until just now. Dropping the last future of a question withdraws
    /// it.
    open: HashMap<HostSubject, WeakShared<AskedHost>>,
    asked: u32,
}

impl KnownAnswers {
    fn record_answer(known: &Mutex<Self>, subject: &HostSubject, answer: &HostAnswer) {
        let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
        known.open.remove(subject);
        known.answered.insert(subject.clone(), answer.clone());
    }
}

/// One program that waits for an answer. If it leaves, the question lingers.
struct WaitingProgram {
    subject: HostSubject,
    waiting: Shared<AskedHost>,
    ended: CancellationToken,
    known: Arc<Mutex<KnownAnswers>>,
}

impl Drop for WaitingProgram {
    fn drop(&mut self) {
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        if self.waiting.peek().is_some() || self.ended.is_cancelled() {
            return;
        }
        let (subject, waiting) = (self.subject.clone(), self.waiting.clone());
        let (ended, known) = (self.ended.clone(), self.known.clone());
        runtime.spawn(async move {
            tokio::select! {
                () = ended.cancelled() => {}
                answer = timeout(LINGER, waiting) => if let Ok(answer) = answer {
                    KnownAnswers::record_answer(&known, &subject, &answer);
                }
            }
        });
    }
}

impl std::fmt::Debug for HostQuestions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HostQuestions").finish_non_exhaustive()
    }
}

impl HostQuestions {
    /// Asks through `ask` until the job has `ended`, and lets the clocks of the session stand while a program waits.
    pub(super) fn new(
        ask: Option<mpsc::UnboundedSender<PermissionQuestion>>,
        clocks: SessionClocks,
        answer_timeout: Duration,
        ended: CancellationToken,
    ) -> Self {
        Self {
            ask,
            clocks,
            answer_timeout,
            ended,
            known: Arc::default(),
        }
    }

    /// Waits until somebody has decided about a host. The error says why it is denied.
    pub(super) async fn ask_about(
        &self,
        subject: &HostSubject,
        program: Option<&str>,
    ) -> Result<(), String> {
        let waiting = match self.join_question(subject, program) {
            Ok(waiting) => waiting,
            Err(known) => return known.map_or(Ok(()), Err),
        };
        let _stopped = self.clocks.stop();
        let program = WaitingProgram {
            subject: subject.clone(),
            waiting: waiting.clone(),
            ended: self.ended.clone(),
            known: self.known.clone(),
        };
        let answer = waiting.await;
        KnownAnswers::record_answer(&program.known, subject, &answer);
        answer.map_or(Ok(()), Err)
    }

    /// Joins the open question about a host, or opens one. The error is the answer that is known already.
    fn join_question(
        &self,
        subject: &HostSubject,
        program: Option<&str>,
    ) -> Result<Shared<AskedHost>, HostAnswer> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(answer) = known.answered.get(subject) {
            return Err(answer.clone());
        }
        if let Some(open) = known.open.get(subject).and_then(WeakShared::upgrade) {
            return Ok(open);
        }
        let Some(ask) = self.ask.clone() else {
            return Err(Some("there is nobody to ask".to_owned()));
        };
        if known.asked >= MOST_QUESTIONS {
            return Err(Some(format!(
                "the task has asked for {MOST_QUESTIONS} hosts already"
            )));
        }
        known.asked += 1;
        let (reply, answer) = oneshot::channel();
        let request = describe_request(subject, program);
        let longest = self.answer_timeout;
        let asking = async move {
            let sent = ask.send(PermissionQuestion { request, reply });
            // Whoever takes questions learns by the last sender that there will be none.
            drop(ask);
            if sent.is_err() {
                return Some("there is nobody to ask".to_owned());
            }
            match timeout(longest, answer).await {
                Ok(Ok(reply)) if reply.decision == PermissionDecision::Allow => None,
                Ok(Ok(reply)) => Some(
                    reply
                        .reason
                        .unwrap_or_else(|| "somebody has denied it".to_owned()),
                ),
                Ok(Err(_)) => Some("there is nobody to ask".to_owned()),
                Err(_) => Some("nobody has answered in time".to_owned()),
            }
        };
        let asking: AskedHost = Box::pin(asking);
        let asking = asking.shared();
        if let Some(weak) = asking.downgrade() {
            known.open.insert(subject.clone(), weak);
        }
        Ok(asking)
    }
}

/// Describes a question for the inbox. Its input is the same for the same host and port, whoever asks.
fn describe_request(subject: &HostSubject, program: Option<&str>) -> ToolRequest {
    let HostSubject { target, address } = subject;
    let mut detail = target.to_string();
    let mut input = json!({"host": target.host.to_string(), "port": target.port});
    if let Some(address) = address {
        detail.push_str(&format!(" at {address}, an address of a private network"));
        input["address"] = json!(address.to_string());
    }
    if let Some(program) = program.map(shown_program).filter(|name| !name.is_empty()) {
        detail.push_str(&format!(" — {program}"));
    }
    ToolRequest {
        tool: NETWORK_TOOL.to_owned(),
        detail,
        kind: Some(PermissionKind::Network),
        input: input.to_string(),
    }
}

/// Returns what a program calls itself as words that cannot pass for anything else.
fn shown_program(name: &str) -> String {
    let plain = |c: &char| c.is_ascii_alphanumeric() || " ./_-()+,;".contains(*c);
    let mut shown: String = name.chars().filter(plain).take(PROGRAM_CHARS).collect();
    shown.truncate(shown.trim_end().len());
    shown
}

#[cfg(test)]
mod tests {
    use claudecluster_protocol::worker::QuestionReply;

    use super::*;

    fn subject(text: &str) -> HostSubject {
        HostSubject {
            target: HostPort::parse(text, None).unwrap(),
            address: None,
        }
    }

    fn questions() -> (
        HostQuestions,
        SessionClocks,
        mpsc::UnboundedReceiver<PermissionQuestion>,
    ) {
        let (ask, asked) = mpsc::unbounded_channel();
        let clocks = SessionClocks::default();
        let (ended, longest) = (CancellationToken::new(), Duration::from_secs(1800));
        let questions = HostQuestions::new(Some(ask), clocks.clone(), longest, ended);
        (questions, clocks, asked)
    }

    fn answer(question: PermissionQuestion, decision: PermissionDecision, reason: Option<&str>) {
        let reason = reason.map(str::to_owned);
        question
            .reply
            .send(QuestionReply { decision, reason })
            .unwrap();
    }

    #[tokio::test]
    async fn one_host_is_asked_about_once() {
        let (questions, clocks, mut asked) = questions();
        let target = subject("a.example:443");
        let answering = async {
            let question = asked.recv().await.unwrap();
            assert_eq!(question.request.detail, "a.example:443 — curl/8.5");
            assert_eq!(question.request.input, r#"{"host":"a.example","port":443}"#);
            assert!(clocks.are_stopped());
            answer(question, PermissionDecision::Allow, None);
        };
        let (first, second, ()) = tokio::join!(
            questions.ask_about(&target, Some("curl/8.5\u{202e}\n")),
            questions.ask_about(&target, None),
            answering
        );
        assert_eq!((first, second), (Ok(()), Ok(())));
        assert!(!clocks.are_stopped());
        assert_eq!(questions.ask_about(&target, None).await, Ok(()));
        assert!(asked.try_recv().is_err());
    }

    #[tokio::test]
    async fn a_denial_stands() {
        let (questions, _, mut asked) = questions();
        let target = subject("a.example:443");
        let answering = async {
            answer(
                asked.recv().await.unwrap(),
                PermissionDecision::Deny,
                Some("no"),
            );
        };
        let (denied, ()) = tokio::join!(questions.ask_about(&target, None), answering);
        assert_eq!(denied, Err("no".to_owned()));
        assert_eq!(
            questions.ask_about(&target, None).await,
            Err("no".to_owned())
        );
        // Another port is another question.
        let other = subject("a.example:8080");
        let answering = async { drop(asked.recv().await.unwrap()) };
        let (denied, ()) = tokio::join!(questions.ask_about(&other, None), answering);
        assert_eq!(denied, Err("there is nobody to ask".to_owned()));
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_answers_in_time() {
        let (questions, clocks, mut asked) = questions();
        let denied = questions.ask_about(&subject("a.example:443"), None).await;
        assert_eq!(denied, Err("nobody has answered in time".to_owned()));
        assert!(asked.recv().await.unwrap().reply.is_closed());
        assert!(!clocks.are_stopped());
    }

    /// Starts to wait for an answer, and gives up.
    async fn give_up(questions: &HostQuestions, clocks: &SessionClocks, target: &HostSubject) {
        {
            let mut waiting = std::pin::pin!(questions.ask_about(target, None));
            assert!(futures::poll!(&mut waiting).is_pending());
            assert!(clocks.are_stopped());
        }
        assert!(!clocks.are_stopped());
    }

    #[tokio::test(start_paused = true)]
    async fn a_question_outlives_programs_that_give_up() {
        let (questions, clocks, mut asked) = questions();
        let target = subject("a.example:443");
        for _ in 0..5 {
            give_up(&questions, &clocks, &target).await;
            tokio::time::advance(LINGER / 2).await;
        }
        let question = asked.recv().await.unwrap();
        assert!(!question.reply.is_closed() && asked.try_recv().is_err());
        answer(question, PermissionDecision::Allow, None);
        assert_eq!(questions.ask_about(&target, None).await, Ok(()));
        // The answer counts also if nobody waited when it came.
        let other = subject("b.example:443");
        give_up(&questions, &clocks, &other).await;
        answer(
            asked.recv().await.unwrap(),
            PermissionDecision::Deny,
            Some("no"),
        );
        tokio::time::advance(2 * LINGER).await;
        tokio::task::yield_now().await;
        assert_eq!(
            questions.ask_about(&other, None).await,
            Err("no".to_owned())
        );
        assert!(asked.try_recv().is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_question_that_nobody_comes_back_for_is_withdrawn() {
        let (questions, clocks, mut asked) = questions();
        let target = subject("a.example:443");
        give_up(&questions, &clocks, &target).await;
        let mut question = asked.recv().await.unwrap();
        let before = tokio::time::Instant::now();
        question.reply.closed().await;
        assert_eq!(before.elapsed(), LINGER);
        // With the job it is withdrawn at once.
        give_up(&questions, &clocks, &target).await;
        let mut question = asked.recv().await.unwrap();
        let before = tokio::time::Instant::now();
        questions.ended.cancel();
        question.reply.closed().await;
        assert_eq!(before.elapsed(), Duration::ZERO);
    }

    #[tokio::test]
    async fn questions_have_a_limit() {
        let (questions, _, asked) = questions();
        drop(asked);
        for n in 0..MOST_QUESTIONS {
            let denied = questions
                .ask_about(&subject(&format!("h{n}.example:443")), None)
                .await;
            assert_eq!(denied, Err("there is nobody to ask".to_owned()));
        }
        let denied = questions
            .ask_about(&subject("last.example:443"), None)
            .await;
        assert!(denied.unwrap_err().contains("64 hosts"));
    }
}
