-- Edits the server asks for.

local M = {}

-- How long an edit waits, in milliseconds: less than the ten seconds after which the server gives up.
local PATIENCE = 5000

---@param edit lsp.WorkspaceEdit
---@return integer[] # the loaded buffers it changes
local function buffers(edit)
  local uris = vim.tbl_keys(edit.changes or {})
  for _, change in ipairs(edit.documentChanges or {}) do
    if change.textDocument then
      table.insert(uris, change.textDocument.uri)
    end
  end
  return vim.tbl_filter(vim.api.nvim_buf_is_loaded, vim.tbl_map(vim.uri_to_bufnr, uris))
end

---Whether a buffer is not as an edit has it: it has been changed since, or closed. Neovim itself would open it
---again and edit whatever is in the file.
---@param edit lsp.WorkspaceEdit
---@param client integer
---@return boolean
local function is_stale(edit, client)
  return vim.iter(edit.documentChanges or {}):any(function(change)
    local document = change.textDocument
    if not document or type(document.version) ~= 'number' then
      return false
    end
    local buffer = vim.uri_to_bufnr(document.uri)
    local now = vim.lsp.util.buf_versions[buffer]
    -- What is for a document as it was opened, at 0, comes for 1: Neovim takes 0 for no version.
    return not vim.lsp.buf_is_attached(buffer, client) or math.max(now, 1) ~= document.version
  end)
end

---What the server calls a text by, see docs/protocol.md.
---@param buffer integer
---@return integer
local function checksum(buffer)
  local text = table.concat(vim.api.nvim_buf_get_lines(buffer, 0, -1, false), '\n'):gsub('\r', '')
  local sum = 0
  for at = 1, #text do
    sum = (sum * 65599 + text:byte(at) + 1) % 4294967291
  end
  return sum
end

---Whether a buffer has another text than the one that an edit is for. A file that is loaded anew has the number
---that it had when it was opened first.
---@param edited integer[]
---@param of? { checksum: integer }
---@return boolean
local function is_other(edited, of)
  return of ~= nil and #edited == 1 and checksum(edited[1]) ~= of.checksum
end

-- A block insert looks like any other, but repeats at its end what was typed in the lines whose numbers
-- it has remembered.
local block_insert = false

vim.api.nvim_create_autocmd('ModeChanged', {
  group = vim.api.nvim_create_augroup('claudecluster.edit', {}),
  callback = function()
    local event = vim.v.event --[[@as { old_mode: string, new_mode: string }]]
    local old, new = event.old_mode, event.new_mode
    if new:match('^[iR]') or new:match('^ni') then
      block_insert = block_insert or old == '\22'
    else
      block_insert = false
    end
  end,
})

---Whether something the user has begun in the current buffer is about lines by their numbers: what is
---selected, what an operator goes from, where a block insert will be repeated, what the next completion
---takes the place of. A line that is inserted above would make it about other lines.
---@return boolean
local function counts_lines()
  local mode = vim.api.nvim_get_mode().mode
  local is_completing = mode:match('^[iR]v?[cx]') ~= nil
  local is_selecting = mode:match('^[vVsS\22\19]') ~= nil
  return block_insert or is_completing or is_selecting or mode:match('^no') ~= nil
end

---Waits for the end of what the user has begun. To be called in a coroutine, as handlers are.
---@async
---@param edited integer[]
---@return boolean # whether it has ended
local function wait_for_user(edited)
  local this = assert(coroutine.running())
  local function is_free()
    return not vim.list_contains(edited, vim.api.nvim_get_current_buf()) or not counts_lines()
  end
  if is_free() then
    return true
  end
  local done = false
  ---@type integer
  local autocmd
  ---@type uv.uv_timer_t
  local timer
  local function finish()
    if not done then
      done = true
      vim.api.nvim_del_autocmd(autocmd)
      timer:stop()
      coroutine.resume(this)
    end
  end
  autocmd = vim.api.nvim_create_autocmd({ 'ModeChanged', 'BufEnter' }, {
    callback = function()
      -- The mode changes before the command that ends it has done its work.
      vim.schedule(function()
        if is_free() then
          finish()
        end
      end)
    end,
  })
  timer = vim.defer_fn(finish, PATIENCE) --[[@as uv.uv_timer_t]]
  coroutine.yield()
  return is_free()
end

---Ends the undo steps of buffers: while somebody types, what the server changes would otherwise be undone
---together with what they have typed.
---@param edited integer[]
local function end_undo_steps(edited)
  for _, buffer in ipairs(edited) do
    -- Setting the option does it, to whatever value (|undo-break|).
    vim.bo[buffer].undolevels = vim.bo[buffer].undolevels
  end
end

---Tells the server what has changed. Neovim holds that back for a while, and for as long as somebody types
---where nothing has been told of a buffer before; it does not hold it back past a request.
---@param edited integer[]
---@param client vim.lsp.Client?
local function tell(edited, client)
  for _, buffer in ipairs(client and edited or {}) do
    local params = { uri = vim.uri_from_bufnr(buffer) }
    local send = require('claudecluster.client').send
    send(client --[[@as vim.lsp.Client]], 'claudecluster/changes', params, function() end, buffer)
  end
end

---@class claudecluster.EditParams: lsp.ApplyWorkspaceEditParams
---@field claudecluster? { checksum: integer }

---Handles `workspace/applyEdit` as Neovim does, as an undo step of its own, and says how it went: the
---server sees the text that an answer is about before the answer.
---@async
---@param err lsp.ResponseError?
---@param params claudecluster.EditParams
---@param ctx lsp.HandlerContext
function M.apply(err, params, ctx)
  local edited = buffers(params.edit)
  local client = vim.lsp.get_client_by_id(ctx.client_id)
  local result
  if not wait_for_user(edited) then
    result = { applied = false, failureReason = 'a selection or a command is in progress' }
  elseif is_stale(params.edit, ctx.client_id) or is_other(edited, params.claudecluster) then
    result = { applied = false, failureReason = 'the text has changed or was closed' }
  else
    end_undo_steps(edited)
    local label = params.label
    -- Said below: Neovim says it in a way that may ask for a key.
    params.label = nil
    result = vim.lsp.handlers['workspace/applyEdit'](err, params, ctx) --[[@as table]]
    end_undo_steps(edited)
    if label and result.applied then
      require('claudecluster.message').show(label)
    end
  end
  tell(edited, client)
  return result
end

return M
