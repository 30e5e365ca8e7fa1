-- Highlight groups. All are links, so that they follow the colour scheme.

local M = {}

local links = {
  ClaudeClusterAdd = 'DiffAdd',
  ClaudeClusterAddWord = 'DiffText',
  ClaudeClusterDelete = 'DiffDelete',
  ClaudeClusterDeleteWord = 'DiffText',
  ClaudeClusterMine = 'DiffChange',
  ClaudeClusterConflict = 'DiagnosticWarn',
  ClaudeClusterSign = 'DiagnosticInfo',
  ClaudeClusterInfo = 'Comment',
  ClaudeClusterTitle = 'Title',
  ClaudeClusterGoal = 'Identifier',
  ClaudeClusterFile = 'Directory',
  ClaudeClusterRunning = 'DiagnosticInfo',
  ClaudeClusterDone = 'DiagnosticOk',
  ClaudeClusterFailed = 'DiagnosticError',
  ClaudeClusterWaiting = 'Comment',
}

function M.define()
  for name, link in pairs(links) do
    vim.api.nvim_set_hl(0, name, { link = link, default = true })
  end
end

return M
