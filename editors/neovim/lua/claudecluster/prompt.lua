-- Words from the user.

local client = require('claudecluster.client')

local M = {}

---The buffer in which a goal is being written.
---@type integer?
local open

---What the goal that is being written is about.
---@type claudecluster.Selection?
local about

---@param selection? claudecluster.Selection
---@return string
local function hint(selection)
  local settings = require('claudecluster.server').config().settings or {}
  local scope = (settings.claudecluster or {}).scope
  local where = scope == 'workspace' and 'the workspace' or 'the open files'
  if selection and selection.range then
    local name = vim.fs.basename(vim.uri_to_fname(selection.uri))
    where = ('%s:%d-%d'):format(name, selection.range.startLine + 1, selection.range.endLine)
  end
  local words = (' Goal for %s.  :w starts it, :q! discards it.'):format(where)
  return (words:gsub('%%', '%%%%'))
end

---@param buffer integer
local function submit(buffer)
  local words = vim.trim(table.concat(vim.api.nvim_buf_get_lines(buffer, 0, -1, false), '\n'))
  if words == '' then
    client.fail('the goal is empty; discard it with :q!')
    return
  end
  local function done()
    -- Only then: words that were not taken are not lost.
    if vim.api.nvim_buf_is_valid(buffer) then
      vim.bo[buffer].modified = false
      vim.api.nvim_buf_delete(buffer, { force = true })
    end
  end
  require('claudecluster').goal(words, about, { done = done })
end

---@return integer
local function create()
  local buffer = vim.api.nvim_create_buf(false, false)
  vim.api.nvim_buf_set_name(buffer, 'claudecluster://goal')
  vim.bo[buffer].buftype = 'acwrite'
  vim.bo[buffer].bufhidden = 'wipe'
  vim.bo[buffer].swapfile = false
  vim.bo[buffer].filetype = 'markdown'
  vim.api.nvim_create_autocmd('BufWriteCmd', {
    buffer = buffer,
    callback = function()
      submit(buffer)
    end,
  })
  return buffer
end

---Opens a small window to write a goal in, which may have many lines. Writing it states the goal.
---@param selection? claudecluster.Selection
function M.goal(selection)
  about = selection
  if open and vim.api.nvim_buf_is_valid(open) then
    local window = vim.fn.bufwinid(open)
    if window > 0 then
      vim.api.nvim_set_current_win(window)
    else
      vim.cmd({ cmd = 'sbuffer', args = { open }, mods = { split = 'botright' } })
    end
  else
    open = create()
    vim.cmd({ cmd = 'sbuffer', args = { open }, mods = { split = 'botright' } })
    vim.cmd.resize(6)
    vim.wo.winfixheight = true
    vim.wo.wrap = true
    vim.wo.linebreak = true
  end
  vim.wo.winbar = hint(selection)
  vim.cmd.startinsert()
end

---Asks why, then goes on with the answer. Nothing happens where the user gives up.
---@param question string
---@param done fun(reason?: string)
function M.why(question, done)
  vim.ui.input({ prompt = question .. ' ' }, function(input)
    if input then
      input = vim.trim(input)
      done(input ~= '' and input or nil)
    end
  end)
end

---@param question string
---@param done fun()
function M.confirm(question, done)
  vim.ui.select({ 'No', 'Yes' }, { prompt = question }, function(choice)
    if choice == 'Yes' then
      done()
    end
  end)
end

return M
