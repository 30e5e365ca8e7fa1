;;; claudecluster-eglot.el --- ClaudeCluster as the language server of a buffer -*- lexical-binding: t; -*-

;;; Commentary:

;; eglot runs one server per buffer: use this in projects where ClaudeCluster is the server you want.

;;; Code:

(require 'eglot)

(add-to-list 'eglot-server-programs '(prog-mode . ("claudecluster" "lsp")))

(setq-default eglot-workspace-configuration
              '(:claudecluster (:budgetUsd 5)))

(defun claudecluster-goal (prompt)
  "Start the goal PROMPT for the open files."
  (interactive "sGoal: ")
  (claudecluster--run "claudecluster.goal.submit" (list :prompt prompt)))

(defun claudecluster-accept (goal)
  "Accept all clean changes of GOAL."
  (interactive "sGoal: ")
  (claudecluster--run "claudecluster.goal.accept" (list :goalId goal)))

(defun claudecluster-cancel (goal)
  "Cancel GOAL."
  (interactive "sGoal: ")
  (claudecluster--run "claudecluster.goal.cancel" (list :goalId goal)))

(defun claudecluster--run (command argument)
  "Run COMMAND of the buffer's server with its one ARGUMENT."
  (let ((server (eglot-current-server)))
    (unless server
      (user-error "No server in this buffer: start one with M-x eglot"))
    ;; eglot tells of changes when Emacs has been idle for a moment, and before requests of its own only.
    ;; A goal is about what has been typed.
    (when (fboundp 'eglot--signal-textDocument/didChange)
      (eglot--signal-textDocument/didChange))
    (jsonrpc-request server
                     :workspace/executeCommand
                     (list :command command :arguments (vector argument)))))

(provide 'claudecluster-eglot)
;;; claudecluster-eglot.el ends here
