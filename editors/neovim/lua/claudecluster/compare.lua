-- A pending file in a tab, its texts side by side.

local client = require('claudecluster.client')
local text = require('claudecluster.text')

local M = {}

---What is put beside the file, left of it and right of it.
---@type table<string, { left: ('base'|'proposed'|'merged')[], right: ('base'|'proposed'|'merged')[] }>
local layouts = {
  base = { left = { 'base' }, right = {} },
  proposed = { left = {}, right = { 'proposed' } },
  merged = { left = {}, right = { 'merged' } },
  all = { left = { 'base' }, right = { 'proposed' } },
}

---@return string[]
function M.names()
  local names = vim.tbl_keys(layouts)
  table.sort(names)
  return names
end

---A buffer with one of the texts of a file.
---@param goal string
---@param side string
---@param uri string
---@param content? string
---@param filetype string
---@return integer
local function scratch(goal, side, uri, content, filetype)
  local name = ('claudecluster://%s/%s/%s'):format(
    goal,
    side,
    vim.fs.basename(vim.uri_to_fname(uri))
  )
  local known = vim.fn.bufnr('^' .. vim.fn.escape(name, '[]*?{}\\') .. '$')
  local buffer = known >= 0 and known or vim.api.nvim_create_buf(false, true)
  if known < 0 then
    vim.api.nvim_buf_set_name(buffer, name)
  end
  vim.bo[buffer].buftype = 'nofile'
  vim.bo[buffer].bufhidden = 'wipe'
  vim.bo[buffer].modifiable = true
  vim.api.nvim_buf_set_lines(buffer, 0, -1, false, text.lines(content or ''))
  vim.bo[buffer].modifiable = false
  vim.bo[buffer].filetype = filetype
  return buffer
end

---@param goal string
---@param uri string
---@param sides string[]
---@param done fun(texts: table<string, string|vim.NIL>)
local function contents(goal, uri, sides, done)
  local texts, left = {}, #sides
  for _, side in ipairs(sides) do
    local params = { goalId = goal, uri = uri, side = side }
    client.request('claudecluster/content', params, function(result)
      texts[side] = result.text or vim.NIL
      left = left - 1
      if left == 0 then
        done(texts)
      end
    end)
  end
end

---Opens a tab in which a file is compared with what a goal makes of it.
---@param how string one of the names
---@param goal string
---@param uri string
function M.open(how, goal, uri)
  local layout = layouts[how]
  local sides = vim.list_extend(vim.list_extend({}, layout.left), layout.right)
  contents(goal, uri, sides, function(texts)
    vim.cmd.tabedit(vim.fn.fnameescape(vim.uri_to_fname(uri)))
    local window = vim.api.nvim_get_current_win()
    local file, filetype = vim.api.nvim_get_current_buf(), vim.bo.filetype
    vim.wo.winbar = 'current'
    vim.cmd.diffthis()
    ---@param side string
    ---@param where 'leftabove'|'rightbelow'
    local function beside(side, where)
      local content = texts[side] ~= vim.NIL and texts[side] or nil
      local buffer = scratch(goal, side, uri, content --[[@as string?]], filetype)
      vim.cmd({ cmd = 'sbuffer', args = { buffer }, mods = { vertical = true, split = where } })
      vim.wo.winbar = ('%s of %s'):format(side, goal)
      vim.cmd.diffthis()
      vim.api.nvim_set_current_win(window)
      -- Virtual lines would be in the way of lines that are to be side by side.
      local show_again = require('claudecluster.pending').hide(file)
      vim.api.nvim_create_autocmd('BufWipeout', {
        buffer = buffer,
        once = true,
        callback = function()
          vim.schedule(show_again)
        end,
      })
    end
    for _, side in ipairs(layout.left) do
      beside(side, 'leftabove')
    end
    for _, side in ipairs(layout.right) do
      beside(side, 'rightbelow')
    end
    vim.cmd.wincmd('=')
  end)
end

---The same for the current buffer, and the goal that has something pending at the cursor or next to it.
---@param how string
function M.here(how)
  local uri, line = vim.uri_from_bufnr(0), vim.fn.line('.') - 1
  require('claudecluster.hunks').here(function(found)
    table.sort(found, function(a, b)
      return math.abs(a.startLine - line) < math.abs(b.startLine - line)
    end)
    if found[1] then
      M.open(how, text.goal(found[1]), uri)
    else
      client.notify('no pending changes in this file; see :ClaudeCluster quickfix')
    end
  end)
end

return M
