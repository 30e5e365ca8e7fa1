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

define-command claudecluster-goal -params 1 -docstring "claudecluster-goal <words>: state a goal about the open files" %{
    evaluate-commands %sh{
        words=$(printf %s "$1" | tr '\n' ' ' | sed 's/\\/\\\\/g; s/"/\\"/g; s/'"'"'/'"''"'/g')
        printf "lsp-execute-command claudecluster.goal.submit '[{\"prompt\": \"%s\"}]' claudecluster" "$words"
    }
}
