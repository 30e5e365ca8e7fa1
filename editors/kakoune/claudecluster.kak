# For your kakrc, below the line that loads kakoune-lsp. ClaudeCluster runs beside the server of the language:
# one hook for each filetype, with the servers it has already.

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

define-command claudecluster-goal -params 1.. -docstring "claudecluster-goal <words>: state a goal about the open files" %{
    claudecluster-run claudecluster.goal.submit prompt %arg{@}
}

define-command claudecluster-accept -params 1 -docstring "claudecluster-accept <goal>: accept everything clean of it" %{
    claudecluster-run claudecluster.goal.accept goalId %arg{1}
}

define-command claudecluster-cancel -params 1 -docstring "claudecluster-cancel <goal>: cancel it" %{
    claudecluster-run claudecluster.goal.cancel goalId %arg{1}
}

define-command -hidden claudecluster-run -params 3.. -docstring "claudecluster-run <command> <key> <words>: run a command whose argument has these words" %{
    evaluate-commands %sh{
        command=$1 key=$2
        shift 2
        words=$(printf %s "$*" | tr '\n' ' ' | sed 's/\\/\\\\/g; s/"/\\"/g; s/'"'"'/'"''"'/g')
        printf "lsp-execute-command %s '[{\"%s\": \"%s\"}]' claudecluster" "$command" "$key" "$words"
    }
}
