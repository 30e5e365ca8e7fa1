;;; claudecluster-lsp-mode.el --- ClaudeCluster next to other language servers -*- lexical-binding: t; -*-

;;; Code:

(require 'lsp-mode)

(lsp-register-client
 (make-lsp-client :new-connection (lsp-stdio-connection '("claudecluster" "lsp"))
                  :activation-fn (lambda (_file mode)
                                   (provided-mode-derived-p mode 'prog-mode))
                  :add-on? t
                  :server-id 'claudecluster
                  :initialization-options '(:claudecluster (:budgetUsd 5))))

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
  "Run COMMAND of this buffer's server with its one ARGUMENT."
  ;; By the file: another project has another one.
  (with-lsp-workspace (or (lsp-find-workspace 'claudecluster (buffer-file-name))
                          (user-error "No ClaudeCluster server in this buffer: start one with M-x lsp"))
    (lsp-workspace-command-execute command (vector argument))))

(provide 'claudecluster-lsp-mode)
;;; claudecluster-lsp-mode.el ends here
