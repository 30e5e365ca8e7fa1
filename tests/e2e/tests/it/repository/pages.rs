//! The pages and the configuration to copy: what they link to is there, and what they show can be read.

use std::{
    fs,
    path::{Path, PathBuf},
};

use claudecluster_protocol::editor::EditorSettings;
use serde_json::Value;

use super::workspace::root;

/// The files of a folder whose names end like this.
fn files(folder: &Path, end: &str) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file() && path.to_string_lossy().ends_with(end))
        .collect();
    files.sort();
    files
}

fn editors() -> Vec<PathBuf> {
    let mut folders: Vec<_> = fs::read_dir(root().join("editors"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .collect();
    folders.sort();
    folders
}

/// Files of the repository that a page links to, with what stands behind `#`.
fn links(page: &str) -> Vec<(String, Option<String>)> {
    let targets = page
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split_once(')'));
    targets
        .map(|(target, _)| target)
        .filter(|target| !target.contains("://"))
        .map(|target| match target.split_once('#') {
            Some((file, section)) => (file.to_owned(), Some(section.to_owned())),
            None => (target.to_owned(), None),
        })
        .collect()
}

/// A heading as it is addressed.
fn anchor(heading: &str) -> String {
    heading
        .trim_start_matches('#')
        .trim()
        .to_lowercase()
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
        .map(|c| if c == ' ' { '-' } else { c })
        .collect()
}

#[test]
fn what_pages_link_to_is_there() {
    let mut pages = files(root(), ".md");
    pages.extend(files(&root().join("docs"), ".md"));
    pages.extend(
        editors()
            .iter()
            .flat_map(|folder| files(folder, "README.md")),
    );
    assert!(pages.len() > 10, "{pages:?}");
    let mut broken = Vec::new();
    for page in pages {
        let text = fs::read_to_string(&page).unwrap();
        for (file, section) in links(&text) {
            let target = if file.is_empty() {
                page.clone()
            } else {
                page.parent().unwrap().join(&file)
            };
            let found = match section {
                None => target.exists(),
                Some(section) => fs::read_to_string(&target).is_ok_and(|text| {
                    let headings = text.lines().filter(|line| line.starts_with('#'));
                    headings.map(anchor).any(|heading| heading == section)
                }),
            };
            if !found {
                broken.push(format!("{}: {file}", page.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

/// Every editor that has no plugin of its own has a page that `docs/editors.md` leads to.
#[test]
fn every_editor_has_its_page() {
    let page = fs::read_to_string(root().join("docs/editors.md")).unwrap();
    for folder in editors() {
        let name = folder.file_name().unwrap().to_str().unwrap();
        if folder.join("README.md").exists() {
            let link = format!("(../editors/{name}/README.md)");
            assert!(
                page.contains(&link),
                "docs/editors.md does not link to {link}"
            );
        }
    }
}

/// Settings that somebody copies are settings that there are.
fn check_settings(settings: &Value, place: &str) {
    let settings = &settings["claudecluster"];
    assert!(settings.is_object(), "{place}: {settings}");
    let read = serde_json::from_value::<EditorSettings>(settings.clone());
    assert!(read.is_ok(), "{place}: {read:?}");
}

#[test]
fn configuration_to_copy_can_be_read() {
    let read = |path: &str| fs::read_to_string(root().join("editors").join(path)).unwrap();
    let helix: toml::Value = toml::from_str(&read("helix/languages.toml")).unwrap();
    let helix = serde_json::to_value(helix).unwrap();
    let server = &helix["language-server"]["claudecluster"];
    assert_eq!(server["args"][0], "lsp");
    check_settings(&server["config"], "helix");

    let extension: toml::Value = toml::from_str(&read("zed/extension.toml")).unwrap();
    assert!(extension["language_servers"].get("claudecluster").is_some());
    let coc: Value = serde_json::from_str(&read("vim/coc-settings.json")).unwrap();
    let coc = &coc["languageserver"]["claudecluster"];
    check_settings(&coc["initializationOptions"], "coc");
    let sublime: Value =
        serde_json::from_str(&read("sublime/LanguageServers.sublime-settings")).unwrap();
    check_settings(
        &sublime["claudecluster"]["initialization_options"],
        "sublime",
    );

    // The servers' part of a kakrc is TOML between braces.
    let kakoune = read("kakoune/claudecluster.kak");
    let (_, servers) = kakoune.split_once("lsp_servers %{").unwrap();
    let (servers, _) = servers.split_once('}').unwrap();
    let servers: toml::Value = toml::from_str(servers).unwrap();
    let server = serde_json::to_value(&servers["claudecluster"]).unwrap();
    check_settings(&server["settings"], "kakoune");

    // Vim takes one line for an autocommand, and the rest for commands of their own.
    let vim = read("vim/claudecluster.vim");
    assert!(vim.starts_with("vim9script\n"));
    for line in vim.lines().filter(|line| line.starts_with("autocmd")) {
        let count = |brackets: &[char]| line.matches(brackets).count();
        assert_eq!(count(&['(', '[', '{']), count(&[')', ']', '}']), "{line}");
    }

    // JSON that pages show.
    for folder in editors() {
        for page in files(&folder, "README.md") {
            let text = fs::read_to_string(&page).unwrap();
            let blocks = text.split("```json\n").skip(1);
            for block in blocks.filter_map(|rest| rest.split("```").next()) {
                let read = serde_json::from_str::<Value>(block);
                assert!(read.is_ok(), "{}: {read:?}\n{block}", page.display());
            }
        }
    }
}

/// What opens in Lisp closes in the order it was opened, and nothing is left open.
#[test]
fn lisp_closes_what_it_opens() {
    for file in files(&root().join("editors/emacs"), ".el") {
        let text = fs::read_to_string(&file).unwrap();
        let mut open = Vec::new();
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            match c {
                ';' => drop(chars.by_ref().find(|&c| c == '\n')),
                '"' => {
                    let mut escaped = false;
                    let end = chars.by_ref().find(|&c| {
                        let end = c == '"' && !escaped;
                        escaped = c == '\\' && !escaped;
                        end
                    });
                    assert!(end.is_some(), "{}: a string has no end", file.display());
                }
                '(' | '[' => open.push(c),
                ')' => assert_eq!(open.pop(), Some('('), "{}", file.display()),
                ']' => assert_eq!(open.pop(), Some('['), "{}", file.display()),
                _ => {}
            }
        }
        assert!(open.is_empty(), "{}: {open:?}", file.display());
    }
}
