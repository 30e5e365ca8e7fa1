-- Pending changes in the quickfix and the location list.

local client = require('claudecluster.client')
local text = require('claudecluster.text')

local M = {}

---@class claudecluster.Entry: vim.quickfix.entry
---@field filename string
---@field lnum integer

---@param documents claudecluster.Document[]
---@param goal? string only its changes
---@return claudecluster.Entry[]
function M.items(documents, goal)
  local items = {}
  for _, document in ipairs(documents) do
    for _, hunk in ipairs(document.hunks) do
      if not goal or text.goal(hunk) == goal then
        local by = hunk.provenance[1]
        local what = hunk.whole and hunk.kind .. ' ' or ''
        -- These land only when they are named.
        local notes = text.held(hunk)
        local held = #notes > 0 and (' [%s]'):format(table.concat(notes, ', ')) or ''
        local title = by and by.title or ''
        table.insert(items, {
          filename = vim.uri_to_fname(document.uri),
          lnum = hunk.startLine + 1,
          type = (hunk.status == 'conflict' or hunk.held) and 'W' or 'I',
          text = ('%s %s %s%s%s'):format(hunk.id, hunk.status, what, title, held),
        })
      end
    end
  end
  return items
end

---@param goal? string
---@param uri? string
---@param done fun(items: claudecluster.Entry[])
local function with_items(goal, uri, done)
  local params = uri and { uri = uri } or vim.empty_dict()
  client.request('claudecluster/changes', params, function(result)
    local items = M.items(result.documents, goal)
    if #items == 0 then
      client.notify(uri and 'no pending changes in this file' or 'no pending changes')
    else
      done(items)
    end
  end)
end

---@param goal? string
---@return string
local function title(goal)
  return 'ClaudeCluster changes' .. (goal and ' of ' .. goal or '')
end

---Everything that is pending, or that of one goal.
---@param goal? string
function M.quickfix(goal)
  with_items(goal, nil, function(items)
    vim.fn.setqflist({}, ' ', { title = title(goal), items = items })
    vim.cmd.copen()
  end)
end

---What is pending in the current file.
---@param goal? string
function M.loclist(goal)
  local window = vim.api.nvim_get_current_win()
  with_items(goal, vim.uri_from_bufnr(0), function(items)
    vim.fn.setloclist(window, {}, ' ', { title = title(goal), items = items })
    vim.api.nvim_win_call(window, function()
      vim.cmd.lopen()
    end)
  end)
end

return M
