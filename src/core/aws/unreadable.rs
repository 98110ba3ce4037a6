//! An answer from which nothing can be read: what came, and who may have sent it.
//!
//! Between a machine and AWS stand proxies, captive portals and load balancers, which answer in AWS's place with pages for people, cut
//! an answer short, or answer with nothing (`x.answer.foreign`). An error that shows the beginning of what came lets its reader find out who it was.
//!
//! Invariant: of a document of AWS itself no value is shown, because it may be a secret; of anything else no long word.

use std::fmt;

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;

/// How much of an answer is looked at, in bytes.
const LOOKED_AT: usize = 2000;

/// How much of an answer is shown, in characters.
const SHOWN: usize = 80;

/// Words that are longer may be tokens.
const LONGEST_WORD: usize = 24;

/// Stands for what is not shown.
const HIDDEN: &str = "…";

/// What came instead of an answer of AWS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unreadable {
    /// The operation, as `service:Operation`.
    pub operation: String,
    /// The HTTP status.
    pub status: u16,
    /// The type of the content, if it was told.
    pub content_type: Option<String>,
    /// The first words of the body, without control characters and secrets; empty when there was no body.
    pub beginning: String,
    /// AWS's id of the request, which nobody else gives.
    pub request_id: Option<String>,
}

impl Unreadable {
    /// What an answer is, when it cannot be read.
    pub fn of(operation: &str, answer: &HttpResponse) -> Self {
        let header = |name| answer.headers().get(name).map(|value| cut(&line(value)));
        let body = answer.body().bytes().unwrap_or_default();
        let body = String::from_utf8_lossy(&body[..body.len().min(LOOKED_AT)]);
        Self {
            operation: operation.to_owned(),
            status: answer.status().as_u16(),
            content_type: header("content-type"),
            beginning: beginning(&body),
            request_id: ["x-amzn-requestid", "x-amz-request-id"].into_iter().find_map(header),
        }
    }

    /// Tells whether the request was held back by a proxy that wants to know who asks: AWS never got it.
    pub fn is_held_back(&self) -> bool {
        self.status == 407
    }

    fn is_page(&self) -> bool {
        let is_html = |text: &str| text.to_lowercase().contains("html");
        is_html(self.content_type.as_deref().unwrap_or_default()) || is_html(&self.beginning)
    }

    /// Who may have sent it.
    fn sender(&self) -> &'static str {
        if self.is_held_back() {
            "a proxy between this machine and AWS wants to know who asks"
        } else if self.is_page() {
            "this is a page for people: a proxy, a captive portal or a load balancer sent it, not AWS"
        } else if self.request_id.is_some() {
            "AWS sent it, and it may have been cut short on its way"
        } else if self.beginning.is_empty() {
            "AWS never answers this with nothing: a proxy or a load balancer may have cut it off"
        } else {
            "a proxy or a load balancer may have sent it or cut it short"
        }
    }
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} got an answer that cannot be read: status {}", self.operation, self.status)?;
        match &self.content_type {
            Some(kind) => write!(f, ", {kind}")?,
            None => write!(f, ", no content type")?,
        }
        match self.beginning.as_str() {
            "" => write!(f, ", empty")?,
            beginning => write!(f, ", beginning with `{beginning}`")?,
        }
        if let Some(id) = &self.request_id {
            write!(f, " (request {id})")?;
        }
        write!(f, "; {}", self.sender())
    }
}

impl std::error::Error for Unreadable {}

/// The first words of a body.
fn beginning(body: &str) -> String {
    let line = line(body);
    let is_page = line.to_lowercase().contains("html");
    match line.chars().next() {
        Some('{' | '[') => cut(&without_texts(&line)),
        Some('<') if !is_page => cut(&without_content(&line)),
        _ => cut(&without_tokens(&line)),
    }
}

/// A text in one line, without control characters.
fn line(text: &str) -> String {
    let plain: String =
        text.chars().map(|c| if c.is_control() || c == char::REPLACEMENT_CHARACTER { ' ' } else { c }).collect();
    plain.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The beginning of a line that is shown.
fn cut(line: &str) -> String {
    match line.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}{HIDDEN}", &line[..end]),
        None => line.to_owned(),
    }
}

/// A text without what is too long for a word.
fn without_tokens(line: &str) -> String {
    let is_of_a_word = |c: char| c.is_alphanumeric() || "-_+=".contains(c);
    let mut left = String::new();
    for part in line.split_inclusive(|c| !is_of_a_word(c)) {
        let word = part.trim_end_matches(|c| !is_of_a_word(c));
        left += if word.chars().count() > LONGEST_WORD { HIDDEN } else { word };
        left += &part[word.len()..];
    }
    left
}

/// JSON in which only the names of fields are left of its texts. A text that has no end is one that was cut.
fn without_texts(json: &str) -> String {
    let mut left = String::new();
    let mut rest = json;
    while let Some((before, after)) = rest.split_once('"') {
        let mut is_escaped = false;
        let end = after.find(|c| {
            let is_end = c == '"' && !is_escaped;
            is_escaped = c == '\\' && !is_escaped;
            is_end
        });
        let (text, next) = end.map_or((after, ""), |end| (&after[..end], &after[end + 1..]));
        let is_name = next.trim_start().starts_with(':');
        left += before;
        left += &format!("\"{}\"", if is_name { text } else { HIDDEN });
        rest = next;
    }
    left + rest
}

/// XML in which nothing is left between its tags.
fn without_content(xml: &str) -> String {
    let mut left = String::new();
    for part in xml.split_inclusive('>') {
        let (content, tag) = part.split_once('<').map_or((part, None), |(content, tag)| (content, Some(tag)));
        left += if content.trim().is_empty() { content } else { HIDDEN };
        left += &tag.map(|tag| format!("<{tag}")).unwrap_or_default();
    }
    left
}

#[cfg(test)]
mod tests {
    use aws_smithy_runtime_api::http::StatusCode;
    use aws_smithy_types::body::SdkBody;

    use super::*;

    fn told(status: u16, kind: Option<&'static str>, body: &str) -> String {
        let status = StatusCode::try_from(status).expect("a status");
        let mut answer = HttpResponse::new(status, SdkBody::from(body));
        if let Some(kind) = kind {
            answer.headers_mut().insert("content-type", kind);
        }
        Unreadable::of("ec2:DescribeVpcs", &answer).to_string()
    }

    #[test]
    fn what_came_and_who_may_have_sent_it_is_told() {
        let page = "<!DOCTYPE html>\n<html><head><title>Sign in to the guest network</title>";
        assert_eq!(
            told(200, Some("text/html; charset=utf-8"), page),
            "ec2:DescribeVpcs got an answer that cannot be read: status 200, text/html; charset=utf-8, beginning with \
             `<!DOCTYPE html> <html><head><title>Sign in to the guest network</title>`; this is a page for people: a \
             proxy, a captive portal or a load balancer sent it, not AWS"
        );
        assert!(told(407, None, "").ends_with(
            "status 407, no content type, empty; a proxy between this machine and AWS wants to know who asks"
        ));
        assert!(told(200, None, "").contains("never answers this with nothing"));
        assert!(told(200, Some("text/xml"), "<DescribeVpcsResponse><vpcSet><item>").contains("cut it short"));
    }

    /// The invariant: of AWS's own documents nothing is shown but how they are built.
    #[test]
    fn no_secret_is_shown() {
        let secret =
            r#"{"Name":"payments","SecretString":"{\"password\":\"hunter2\"}","Versions":["hunter2"],"Cut":"hunt"#;
        for body in [secret, "<Credentials><SecretAccessKey>hunter2</SecretAccessKey><SessionToken>hunt"] {
            let told = told(200, None, body);
            assert!(
                !told.contains("hunt") && (told.contains("SecretString") || told.contains("SecretAccessKey")),
                "{told}"
            );
        }
        let token = "0123456789abcdef0123456789abcdef";
        for body in [format!("<html><form action=/login?token={token}>"), format!("denied: {token}")] {
            assert!(!told(200, None, &body).contains("0123"), "{body}");
        }
    }

    #[test]
    fn nothing_that_a_terminal_obeys_is_shown_and_nothing_long() {
        let told = told(502, Some("text/plain"), &format!("\u{1b}[2J\u{7}Bad\r\nGateway{}", " and so on".repeat(50)));
        assert!(!told.contains(char::is_control) && told.contains("Bad Gateway and so on"), "{told}");
        assert!(told.chars().count() < 300, "{told}");
    }
}
