-- Edits the server asks for.

local M = {}

---Ends the undo step of every buffer an edit touches: while somebody types, what the server changes
---would otherwise be undone together with what they have typed.
---@param edit lsp.WorkspaceEdit
local function end_undo_steps(edit)
  local uris = vim.tbl_keys(edit.changes or {})
  for _, change in ipairs(edit.documentChanges or {}) do
    if change.textDocument then
      table.insert(uris, change.textDocument.uri)
    end
  end
  for _, uri in ipairs(uris) do
    local buffer = vim.uri_to_bufnr(uri)
    if vim.api.nvim_buf_is_loaded(buffer) then
      -- Setting the option does it, to whatever value (|undo-break|).
      vim.bo[buffer].undolevels = vim.bo[buffer].undolevels
    end
  end
end

---Handles `workspace/applyEdit` as Neovim does, as an undo step of its own.
---@param err lsp.ResponseError?
---@param params lsp.ApplyWorkspaceEditParams
---@param ctx lsp.HandlerContext
function M.apply(err, params, ctx)
  end_undo_steps(params.edit)
  local result = vim.lsp.handlers['workspace/applyEdit'](err, params, ctx)
  end_undo_steps(params.edit)
  return result
end

return M
