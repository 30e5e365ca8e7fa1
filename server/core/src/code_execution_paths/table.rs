//! The files that programs run, with the program and the occasion. `docs/self-arming.md` shows this table; a
//! test compares them.

/// Says what the review does with a change to such a file.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum CodeExecutionVerdict {
    /// The change lands only after an explicit look. A program runs the file although nobody runs the project:
    /// when a folder is opened or entered, at any command of a tool, or on another machine after a push.
    Held,
    /// The change lands like others, and is shown with a mark. The file runs when the project is built, tested,
    /// checked or installed, and ordinary work changes it every day.
    Marked,
}

/// Files that run for one reason.
#[derive(Clone, Copy, Debug)]
pub struct CodeExecutionRule {
    /// What the review does with changes to them.
    pub verdict: CodeExecutionVerdict,
    /// The program that runs them and when, as a clause.
    pub runs: &'static str,
    /// The patterns, in lower case and separated by white space. A pattern is a name, or consecutive names with
    /// `/` between them; a name may begin or end with `*`. It matches in every folder, and everything beneath.
    pub files: &'static str,
}

use CodeExecutionVerdict::{Held, Marked};

/// All rules, those that hold first.
pub const CODE_EXECUTION_RULES: &[CodeExecutionRule] = &[
    CodeExecutionRule {
        verdict: Held,
        runs: "version control runs its hooks, filters and monitors at the next command",
        files: ".git .gitmodules .gitattributes .gitconfig .hg .hgrc .jj .husky .githooks .overcommit.yml
            .pre-commit-config.yaml lefthook.* .lefthook* .lintstagedrc* lint-staged.config.*",
    },
    CodeExecutionRule {
        verdict: Held,
        runs: "an editor runs its tasks, servers and scripts when the folder is opened",
        files: ".vscode *.code-workspace .idea .fleet .zed .helix .vs .nova .kateproject .exrc .nvimrc
            .nvim .nvim.lua .lazy.lua .vim .vimrc .lvimrc .local.vimrc .ycm_extra_conf.py .neoconf.json
            .luarc.json .luarc.jsonc .dir-locals.el .dir-locals-2.el .emacs .emacs.d *.sublime-project
            .externaltoolbuilders omnisharp.json .devcontainer .devcontainer.json",
    },
    CodeExecutionRule {
        verdict: Held,
        runs: "an agent follows its instructions, servers and hooks in the next session",
        files: ".claude .claude.json claude.md claude.local.md agents.md agents.override.md agent.md
            .agents gemini.md .gemini .codex .opencode opencode.json .mcp.json .cursor .cursorrules
            .windsurf .windsurfrules .clinerules .roo .roorules .continue .kiro .junie .trae .amazonq
            .augment .goose .goosehints .crush.json crush.json .qwen qwen.md .factory .aider.*
            .github/copilot-instructions.md .github/instructions .github/prompts .github/chatmodes
            .claudecluster .claudecluster.*",
    },
    CodeExecutionRule {
        verdict: Held,
        runs: "a shell or direnv runs it when the folder is entered",
        files: ".envrc .direnv .autoenv .autoenv.zsh devenv.nix devenv.yaml",
    },
    CodeExecutionRule {
        verdict: Held,
        runs: "shells and login programs run it at their start, if the folder is or becomes a home",
        files: ".profile .bashrc .bash_profile .bash_login .bash_logout .bash_aliases .zshrc .zshenv
            .zprofile .zlogin .zlogout .cshrc .tcshrc .kshrc .login .logout .inputrc .xinitrc .xprofile
            .xsession .tmux.conf .screenrc .curlrc .wgetrc .mailcap .lesskey .lessfilter .config/fish
            .config/git .config/systemd .config/autostart .ssh .gnupg *.desktop autorun.inf",
    },
    CodeExecutionRule {
        verdict: Held,
        runs: "a debugger, interpreter or console runs it when it starts in the folder",
        files: ".gdbinit .lldbinit .radare2rc .rprofile .renviron .irbrc .pryrc .pdbrc .pythonrc*
            .pythonstartup .ipython ipython_config.py .jupyter .iex.exs .ghci .ocamlinit .sbclrc .octaverc
            .psqlrc .sqliterc .my.cnf .latexmkrc latexmkrc .user.ini",
    },
    CodeExecutionRule {
        verdict: Held,
        runs: "Python runs it whenever an interpreter starts",
        files: "sitecustomize.py usercustomize.py *.pth",
    },
    CodeExecutionRule {
        verdict: Held,
        runs: "a version manager runs the tools and hooks that it names at any command",
        files: ".mise* mise.* .tool-versions rust-toolchain* .sdkmanrc .terraformrc terraform.rc .terraform",
    },
    CodeExecutionRule {
        verdict: Held,
        runs: "a package manager or build tool takes programs, plugins or package sources from it at any command",
        files: ".npmrc .yarnrc* .yarn/releases .yarn/plugins .yarn/sdks .pnp.* .pnpmfile.* bunfig.toml
            .bunfig.toml .cargo/config* .mvn mvnw* .gradle gradlew* gradle/wrapper .bundle .bazelrc
            .bazelversion .bazeliskrc tools/bazel .buckconfig .sbtopts .jvmopts pip.conf pip.ini .pip .pypirc
            .pydistutils.cfg uv.toml poetry.toml .condarc nuget.config ansible.cfg",
    },
    CodeExecutionRule {
        verdict: Held,
        runs: "a forge or its machines run it as soon as it is pushed",
        files: ".github/workflows .github/actions .gitlab-ci.yml .gitlab .forgejo/workflows
            .gitea/workflows .circleci azure-pipelines* .azure-pipelines .azuredevops jenkinsfile*
            .travis.yml bitbucket-pipelines.yml .drone.* .woodpecker .woodpecker.* appveyor.yml
            .appveyor.yml .buildkite .semaphore .teamcity .cirrus.* wercker.yml codefresh.yml .builds
            .build.yml .tekton cloudbuild.yaml cloudbuild.yml buildspec.yml .readthedocs.*",
    },
    CodeExecutionRule {
        verdict: Marked,
        runs: "npm and other package managers run its scripts when the project is installed or built",
        files: "package.json pnpm-workspace.yaml deno.json deno.jsonc composer.json",
    },
    CodeExecutionRule {
        verdict: Marked,
        runs: "a JavaScript tool runs it when the project is checked, tested or built",
        files: "eslint.config.* .eslintrc* prettier.config.* .prettierrc* vite.config.* vitest.config.*
            vitest.workspace.* webpack.* rollup.config.* rspack.config.* rsbuild.config.* esbuild.config.*
            tsup.config.* babel.config.* .babelrc* .swcrc postcss.config.* .postcssrc* tailwind.config.*
            jest.config.* jest.setup.* karma.conf.* .mocharc* cypress.config.* playwright.config.*
            .storybook stylelint.config.* .stylelintrc* commitlint.config.* .commitlintrc*
            release.config.* .releaserc* next.config.* nuxt.config.* svelte.config.* astro.config.*
            metro.config.* gulpfile.* gruntfile.* turbo.json nx.json",
    },
    CodeExecutionRule {
        verdict: Marked,
        runs: "a Python tool runs it when the project is installed or tested",
        files: "setup.py setup.cfg pyproject.toml conftest.py noxfile.py tox.ini fabfile.py dodo.py
            hatch_build.py",
    },
    CodeExecutionRule {
        verdict: Marked,
        runs: "a compiler or build tool runs it when the project is built",
        files: "build.rs makefile gnumakefile bsdmakefile *.mk makefile.* justfile .justfile taskfile.* tiltfile
            cmakelists.txt *.cmake cmakepresets.json cmakeuserpresets.json meson.build configure
            configure.ac build.zig build.xml pom.xml build.gradle* settings.gradle* gradle.properties
            init.gradle* *.sbt project.clj rakefile gemfile *.gemspec .rspec mix.exs rebar.config dune
            setup.hs package.swift *.csproj *.fsproj *.vbproj *.vcxproj *.targets *.props global.json
            dotnet-tools.json workspace.bazel module.bazel build.bazel *.bzl flake.nix shell.nix
            default.nix",
    },
    CodeExecutionRule {
        verdict: Marked,
        runs: "programs read their environment variables from it when they start in the folder",
        files: ".env .env.*",
    },
    CodeExecutionRule {
        verdict: Marked,
        runs: "it describes machines or services whose commands run when they are built or deployed",
        files: "dockerfile* *.dockerfile docker-compose* compose.yaml compose.yml vagrantfile procfile *.tf
            netlify.toml vercel.json action.yml action.yaml .htaccess",
    },
];
