//! The commands that a text names, by their words and by their shape.

const SUBCOMMANDS: &[&str] = &[
    "accept",
    "allow",
    "approve",
    "artifacts",
    "cancel",
    "completions",
    "config",
    "daemon",
    "demo",
    "deny",
    "diff",
    "doctor",
    "goals",
    "logs",
    "lsp",
    "permissions",
    "plan",
    "redo",
    "reject",
    "resolve",
    "retry",
    "run",
    "show",
    "undo",
    "watch",
];

/// Options whose next word is a value.
const WITH_VALUE: &[&str] = &[
    "--agent", "--file", "--plan", "--reason", "--task", "--text", "--hunk",
];

/// The words of each `claudecluster …` command that a text names.
pub(super) fn commands_in(text: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for (at, name) in text.match_indices("claudecluster ") {
        let words = words_of(&text[at + name.len()..]);
        if words
            .first()
            .is_some_and(|first| SUBCOMMANDS.contains(&&**first))
        {
            found.push(words);
        }
    }
    found
}

/// The words of a command up to where prose begins.
fn words_of(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut rest = text;
    loop {
        let quote = rest.chars().next().filter(|c| ['"', '\''].contains(c));
        let (word, ends) = if let Some(quote) = quote {
            let Some(end) = rest[1..].find(quote) else {
                break;
            };
            let word = &rest[1..=end];
            rest = &rest[end + 2..];
            (format!("\"{word}"), !rest.starts_with(' '))
        } else {
            let bracket = rest.starts_with('[').then(|| rest.find(']')).flatten();
            let end = bracket
                .map(|end| end + 1)
                .or_else(|| rest.find([' ', '\n']));
            let (word, after) = rest.split_at(end.unwrap_or(rest.len()));
            rest = after;
            let plain = word.trim_end_matches([';', ',', ')', '`', ':', '.']);
            (plain.to_owned(), plain != word)
        };
        if !belongs(&words, &word) {
            break;
        }
        words.push(word);
        match rest.strip_prefix(' ') {
            Some(more) if !ends && !more.starts_with(' ') => rest = more,
            _ => break,
        }
    }
    words
}

/// Whether a word goes on a command, and is not the prose behind it.
fn belongs(before: &[String], word: &str) -> bool {
    let group = |name: &str| before.first().is_some_and(|first| first == name);
    let id = |word: &str| {
        let mut parts = word.splitn(2, '.');
        let head = parts.next().unwrap_or_default();
        head.len() > 1
            && head.starts_with(['g', 'p'])
            && head[1..].chars().all(|c| c.is_ascii_digit())
    };
    let placeholder = |word: &str| word.len() > 1 && word.chars().all(|c| c.is_ascii_uppercase());
    match before {
        [] => true,
        [_] if group("daemon") || group("config") => word.chars().all(|c| c.is_ascii_lowercase()),
        [config, set] if config == "config" && matches!(&**set, "set" | "add") => true,
        [config, set, _] if config == "config" && matches!(&**set, "set" | "add") => true,
        [.., last] if WITH_VALUE.contains(&&**last) => true,
        _ => {
            word.starts_with(['-', '[', '{', '"'])
                || id(word)
                || placeholder(word) && !word.is_empty()
        }
    }
}

/// The shape of a command: values and choices are `{}`, what may be left out is `[]`.
pub(super) fn shape(words: &[String]) -> String {
    let mut shape: Vec<&str> = Vec::new();
    for (at, word) in words.iter().enumerate() {
        let value = at > 0 && WITH_VALUE.contains(&&*words[at - 1]);
        let config = words[0] == "config";
        let upper = word.chars().all(|c| c.is_ascii_uppercase());
        shape.push(match word {
            _ if at == 0 => word,
            _ if value || upper || word.starts_with(['{', '"']) => "{}",
            _ if word.starts_with('[') => "[]",
            _ if word.starts_with('-') && word.contains('|') => "{}",
            _ if config && words[1] == "add" && at == 3 => "{}",
            _ if config || words[0] == "daemon" || words[0] == "demo" => word,
            _ if word.starts_with('-') => word,
            _ => "{}",
        });
    }
    shape.join(" ")
}

/// The string literals of a source file, without its tests.
pub(super) fn literals(source: &str) -> Vec<String> {
    let source = source.split("#[cfg(test)]\nmod tests {").next().unwrap();
    let mut found = Vec::new();
    let mut rest = source;
    while let Some(at) = rest.find(['"', '/', '\'']) {
        let tail = &rest[at..];
        if tail.starts_with("//") {
            rest = tail.find('\n').map_or("", |end| &tail[end..]);
        } else if let Some(tail) = tail.strip_prefix("'\"'") {
            rest = tail;
        } else if tail.starts_with('"') && rest[..at].ends_with("r#") {
            let end = tail.find("\"#").unwrap();
            found.push(tail[1..end].to_owned());
            rest = &tail[end + 2..];
        } else if let Some(tail) = tail.strip_prefix('"') {
            let mut literal = String::new();
            let mut chars = tail.char_indices();
            let mut end = tail.len();
            while let Some((i, c)) = chars.next() {
                match c {
                    '"' => {
                        end = i + 1;
                        break;
                    }
                    '\\' => match chars.next() {
                        // A line that goes on without its indentation.
                        Some((_, '\n')) => {
                            while chars.as_str().starts_with([' ', '\n']) {
                                chars.next();
                            }
                        }
                        Some((_, 'n')) => literal.push('\n'),
                        Some((_, other)) => literal.push(other),
                        None => break,
                    },
                    c => literal.push(c),
                }
            }
            found.push(literal);
            rest = &tail[end..];
        } else {
            rest = &tail[1..];
        }
    }
    found
}

/// The commands that one with options to choose from stands for.
pub(super) fn ways(words: &[String]) -> Vec<Vec<String>> {
    let mut ways: Vec<Vec<String>> = vec![Vec::new()];
    for word in words {
        let inner = word
            .strip_prefix('[')
            .and_then(|word| word.strip_suffix(']'));
        let options: Vec<Vec<String>> = match inner {
            Some(inner) => {
                let mut options = vec![Vec::new()];
                options.extend(
                    inner
                        .split('|')
                        .map(|option| option.split(' ').map(str::to_owned).collect::<Vec<_>>()),
                );
                options
            }
            None if word.starts_with('-') => word
                .split('|')
                .map(|option| vec![option.to_owned()])
                .collect(),
            None => vec![vec![word.strip_prefix('"').unwrap_or(word).to_owned()]],
        };
        ways = options
            .iter()
            .flat_map(|option| {
                ways.iter()
                    .map(move |way| [way.as_slice(), option.as_slice()].concat())
            })
            .collect();
    }
    ways
}
