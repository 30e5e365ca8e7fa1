"""Start ClaudeCluster goals. Copy this file to Packages/User."""

import sublime_plugin


class ClaudeclusterGoalCommand(sublime_plugin.TextCommand):
    """Asks for a goal for the open files."""

    def run(self, edit):
        window = self.view.window()
        window.show_input_panel("Goal:", "", self.submit, None, None)

    def submit(self, prompt):
        self.view.run_command(
            "lsp_execute",
            {
                "session_name": "claudecluster",
                "command_name": "claudecluster.goal.submit",
                "command_args": [{"prompt": prompt}],
            },
        )
