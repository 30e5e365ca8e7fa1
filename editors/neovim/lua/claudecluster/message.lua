-- Messages that take no key. Neovim asks for one where a message does not fit, where two come at once, and where
-- one that fits only just is shown again after the screen was drawn; it would take it from whoever types.

local text = require('claudecluster.text')

local M = {}

---Whether messages are shown by Neovim itself, not by a plugin.
---@return boolean
local function is_builtin()
  local source = assert(debug.getinfo(vim.notify, 'S')).source
  return source:find('_editor.lua', 1, true) ~= nil
end

local groups = {
  [vim.log.levels.ERROR] = 'ErrorMsg',
  [vim.log.levels.WARN] = 'WarningMsg',
}

---@param message string
---@return string # what of it fits beside the ruler and the keys of a command
local function fitting(message)
  local line = message:gsub('%s*\n%s*', ' ')
  local space = math.max(vim.v.echospace, 10)
  if vim.fn.strdisplaywidth(line) <= space then
    return line
  end
  local cut = vim.fn.strcharpart(line, 0, space - 1)
  while vim.fn.strdisplaywidth(cut) > space - 1 do
    cut = vim.fn.strcharpart(cut, 0, vim.fn.strchars(cut) - 1)
  end
  return cut .. '…'
end

---@param message string
---@param level integer
local function echo(message, level)
  local short, group = fitting(message), groups[level]
  -- The one before is done with.
  vim.cmd.redraw()
  if short ~= message then
    -- All of it is in |:messages|.
    vim.cmd({ cmd = 'echomsg', args = { vim.fn.string(message) }, mods = { silent = true } })
  end
  vim.api.nvim_echo({ { short, group } }, short == message, {})
end

---Lets another plugin show a message. It may come back to Neovim's own way; the prompt is off meanwhile, where
---there is an option for it.
---@param message string
---@param level integer
local function delegate(message, level)
  local there, before = pcall(function()
    return vim.o.messagesopt
  end)
  if there then
    vim.o.messagesopt = before:gsub('hit%-enter', 'wait:0')
  end
  local shown, why = pcall(vim.notify, message, level)
  if there then
    vim.o.messagesopt = before
  end
  if not shown then
    error(why, 0)
  end
end

---Shows a message once what the user is doing now is done: a command runs to its end, and a command line that
---is being typed is not written over.
---@param message string
---@param level? integer
function M.show(message, level)
  level, message = level or vim.log.levels.INFO, text.visible(message)
  vim.schedule(function()
    if not is_builtin() then
      delegate(message, level)
    elseif vim.api.nvim_get_mode().mode:match('^[cr]') then
      vim.api.nvim_create_autocmd('ModeChanged', {
        pattern = '[cr]*:[^cr]*',
        once = true,
        callback = function()
          M.show(message, level)
        end,
      })
    else
      echo(message, level)
    end
  end)
end

return M
