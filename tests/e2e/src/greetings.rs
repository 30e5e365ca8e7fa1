//! A small project, and sessions that change it in parallel: the same whole way, whatever the editor.

use crate::World;

/// The files of the project.
pub const FILES: [(&str, &str); 3] = [
    (
        "greet.py",
        "def greet(name):\n    return 'hello ' + name\n\n\ndef wave():\n    return 'o/'\n",
    ),
    ("parse.py", "def parse(text):\n    return text.split(',')\n"),
    ("show.py", "def show(items):\n    print(items)\n"),
];

/// Rules of the scripted model: a plan of three tasks whose sessions all run at once. One of them has to see `@`,
/// which is in no file; another one writes outside the goal's scope.
const RULES: &str = r#"  - name: plan
    when: {user: Plan this goal, tools: [StructuredOutput]}
    turns:
      - - read: greet.py
      - - structured:
            status: done
            summary: Three files.
            plan:
              tasks:
                - {id: greet, title: Greet politely, instructions: Change greet, writes: [greet.py]}
                - {id: parse, title: Strip fields, instructions: Change parse, writes: [parse.py]}
                - {id: show, title: Show lines, instructions: Change show, writes: [show.py]}
  - name: together
    when: {userMatches: 'Work on one task of a goal: .* \((greet|parse|show)\)', turn: 0}
    together: 3
    times: 3
    answer:
      - run: cat greet.py parse.py show.py
  - name: greet
    when: {userMatches: '\(greet\)', text: '@'}
    turns:
      - []
      - - edit: {path: greet.py, old: "'hello '", new: "'good day '"}
      - - structured: {status: done, summary: Greets politely now.}
  - name: parse
    when: {userMatches: '\(parse\)'}
    turns:
      - []
      - - read: parse.py
        - run: echo notes > NOTES.md
      - - edit: {path: parse.py, old: "text.split(',')", new: "[f.strip() for f in text.split(',')]"}
      - - structured: {status: done, summary: Strips fields now.}
  - name: show
    when: {userMatches: '\(show\)'}
    turns:
      - []
      - - read: show.py
      - - edit: {path: show.py, old: print(items), new: print(*items)}
      - - structured: {status: done, summary: Shows lines now.}
"#;

/// The rules for a user who has typed this text and not saved it.
pub fn rules(typed: &str) -> String {
    RULES.replace('@', typed)
}

impl World {
    /// Checks what the project is like at the end, once the change to `show.py` was rejected and all others in
    /// scope were accepted: `above` and `below` are what was typed around `greet`.
    ///
    /// # Panics
    ///
    /// When it is not like that.
    #[track_caller]
    pub fn has_new_greetings(&self, above: &str, below: &str) {
        assert_eq!(
            self.read("greet.py"),
            format!(
                "{above}\ndef greet(name):\n    return 'good day ' + name\n\n\n\
                 def wave():\n    return 'o/'\n{below}\n"
            )
        );
        assert!(self.read("parse.py").contains("f.strip()"));
        assert_eq!(self.read("show.py"), FILES[2].1);
        assert!(!self.has("NOTES.md"));
    }
}
