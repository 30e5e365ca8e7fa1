# For your kakrc, below the line that loads kakoune-lsp. ClaudeCluster runs next to the language servers:
# one hook for each filetype, including its other servers.

hook -group lsp-filetype-rust global BufSetOption filetype=rust %{
    set-option buffer lsp_servers %{
        [rust-analyzer]
        root_globs = ["Cargo.toml"]
        [claudecluster]
        args = ["lsp"]
        root_globs = [".git", ".hg"]
        [claudecluster.settings.claudecluster]
        budgetUsd = 5
    }
}

define-command claudecluster-goal -params 1.. -docstring "claudecluster-goal <text>: start a goal for the open files" %{
    claudecluster-run claudecluster.goal.submit prompt %arg{@}
}

define-command claudecluster-accept -params 1 -docstring "claudecluster-accept <goal>: accept all clean changes of a goal" %{
    claudecluster-run claudecluster.goal.accept goalId %arg{1}
}

define-command claudecluster-cancel -params 1 -docstring "claudecluster-cancel <goal>: cancel a goal" %{
    claudecluster-run claudecluster.goal.cancel goalId %arg{1}
}

define-command -hidden claudecluster-run -params 3.. -docstring "claudecluster-run <command> <key> <text>: run a command with an argument" %{
    evaluate-commands %sh{
        command=$1 key=$2
        shift 2
        words=$(printf %s "$*" | tr '\n' ' ' | sed 's/\\/\\\\/g; s/"/\\"/g; s/'"'"'/'"''"'/g')
        printf "lsp-execute-command %s '[{\"%s\": \"%s\"}]' claudecluster" "$command" "$key" "$words"
    }
}
