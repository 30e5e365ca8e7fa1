-- Decisions about what is pending on lines of a buffer.

local client = require('claudecluster.client')

local M = {}

---The pending hunks of the current buffer, as the server has them for its text.
---@param done fun(hunks: claudecluster.Hunk[])
function M.here(done)
  client.request('claudecluster/changes', { uri = vim.uri_from_bufnr(0) }, function(result)
    local document = result.documents[1]
    done(document and document.hunks or {})
  end)
end

---Those of them on lines `first` to `last`, both counted from 1. Tells the user when there are none.
---@param first integer
---@param last integer
---@param wanted string what is looked for, in words
---@param filter fun(hunk: claudecluster.Hunk): boolean
---@param done fun(hunks: claudecluster.Hunk[])
function M.on_lines(first, last, wanted, filter, done)
  M.here(function(hunks)
    local count = vim.api.nvim_buf_line_count(0)
    local found = vim.tbl_filter(function(hunk)
      -- What comes behind the last line is on it.
      local start = math.min(hunk.startLine, count - 1)
      local stop = math.max(hunk.endLine, start + 1)
      return filter(hunk) and start < last and first - 1 < stop
    end, hunks)
    if #found == 0 then
      client.notify(('no %s on this line; see :ClaudeCluster quickfix'):format(wanted))
    else
      done(found)
    end
  end)
end

---@return boolean
local function any()
  return true
end

---@param first integer counted from 1
---@param last integer inclusive
---@param done fun(hunks: claudecluster.Hunk[])
function M.pending_on(first, last, done)
  M.on_lines(first, last, 'pending change', any, done)
end

---Accepts or rejects what is pending on these lines of the current buffer.
---@param verdict 'accept'|'reject'
---@param first integer counted from 1
---@param last integer inclusive
---@param reason? string why, for a rejection
function M.decide(verdict, first, last, reason)
  M.pending_on(first, last, function(found)
    for _, hunk in ipairs(found) do
      client.command('claudecluster.hunk.' .. verdict, { hunkId = hunk.id, reason = reason })
    end
  end)
end

---Decides the conflicts on these lines of the current buffer.
---@alias claudecluster.Resolution 'mine'|'theirs'|'both'|'merged'|'markers'|'repair'

---@param kind claudecluster.Resolution
---@param first integer counted from 1
---@param last integer inclusive
---@param reason? string what a repair is to come to
function M.resolve(kind, first, last, reason)
  M.on_lines(first, last, 'conflict', function(hunk)
    return hunk.status == 'conflict'
  end, function(found)
    for _, hunk in ipairs(found) do
      local argument = { hunkId = hunk.id, resolution = { kind = kind }, reason = reason }
      client.command('claudecluster.hunk.resolve', argument)
    end
  end)
end

---Takes back what has landed on these lines of the current buffer. Where that is more than one change,
---the user chooses.
---@param first integer counted from 1
---@param last integer inclusive
function M.undo(first, last)
  local text = vim.api.nvim_buf_get_lines(0, last - 1, last, false)[1] or ''
  client.request('textDocument/codeAction', {
    textDocument = { uri = vim.uri_from_bufnr(0) },
    range = {
      start = { line = first - 1, character = 0 },
      ['end'] = { line = last - 1, character = #text },
    },
    context = { diagnostics = {}, triggerKind = 1 },
  }, function(actions)
    local found = vim.tbl_filter(function(action)
      local command = action.command
      return type(command) == 'table' and command.command == 'claudecluster.hunk.undo'
    end, actions or {})
    local function run(action)
      if action then
        client.command(action.command.command, action.command.arguments[1])
      end
    end
    if #found == 0 then
      client.notify('no accepted change on this line')
    elseif #found == 1 then
      run(found[1])
    else
      vim.ui.select(found, {
        prompt = 'Undo change:',
        format_item = function(action)
          return action.title
        end,
      }, run)
    end
  end)
end

return M
