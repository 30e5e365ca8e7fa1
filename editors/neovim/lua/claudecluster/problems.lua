-- Neovim tells a server of its own diagnostics only. A goal is to be stated about those of all: they go along
-- with every question for code actions.

local M = {}

---@param diagnostic vim.Diagnostic
---@return table # as the protocol has it; its columns are bytes, which nobody looks at
local function to_lsp(diagnostic)
  return {
    range = {
      start = { line = diagnostic.lnum, character = diagnostic.col },
      ['end'] = {
        line = diagnostic.end_lnum or diagnostic.lnum,
        character = diagnostic.end_col or diagnostic.col,
      },
    },
    severity = diagnostic.severity,
    code = diagnostic.code,
    source = diagnostic.source,
    message = diagnostic.message,
  }
end

---The parameters of a question for code actions, with all diagnostics of its buffer.
---@param params table
---@return table
local function with_all(params)
  local buffer = vim.uri_to_bufnr(params.textDocument.uri)
  local context = vim.tbl_extend('force', params.context or {}, {
    diagnostics = vim.tbl_map(to_lsp, vim.diagnostic.get(buffer)),
  })
  return vim.tbl_extend('force', params, { context = context })
end

---Lets a client pass all diagnostics on. Does nothing where it does so already.
---@param client vim.lsp.Client
function M.pass_on(client)
  if rawget(client, 'claudecluster_problems') then
    return
  end
  rawset(client, 'claudecluster_problems', true)
  local request = client.request
  -- Both `client:request(…)` and `client.request(…)` are in use.
  client.request = function(...)
    ---@type any[]
    local arguments = { ... }
    local at = arguments[1] == client and 2 or 1
    if arguments[at] == 'textDocument/codeAction' then
      arguments[at + 1] = with_all(arguments[at + 1])
    end
    return request(unpack(arguments, 1, select('#', ...)))
  end
end

return M
