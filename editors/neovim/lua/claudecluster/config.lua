-- What `setup()` is given.

local M = {}

---Defaults for the goals that are stated from Neovim; see |claudecluster-settings|.
---@class claudecluster.Settings
---@field agent? 'claude-code'|'native'
---@field model? string
---@field jobs? integer how many tasks of one goal may run at once
---@field budgetUsd? number the most one goal may cost
---@field gates? string[] commands that must succeed on the result
---@field scope? 'open'|'workspace'

---All of it may be left out.
---@class claudecluster.Options
---@field cmd? string[] what starts the server; default `{ 'claudecluster', 'lsp' }`
---@field settings? claudecluster.Settings
---@field lsp? vim.lsp.Config anything else about the server
---@field signs? boolean whether changes have signs; default `true`
---@field shown? boolean whether pending changes are shown in the text from the start; default `true`

---@type table<string, string>
local types =
  { cmd = 'table', settings = 'table', lsp = 'table', signs = 'boolean', shown = 'boolean' }

---@type table<string, boolean>
local settings = {
  agent = true,
  model = true,
  jobs = true,
  budgetUsd = true,
  gates = true,
  scope = true,
}

M.signs = true

---What is wrong with options, one line each.
---@param options table
---@return string[]
local function wrong(options)
  local found = {}
  for key, value in vim.spairs(options) do
    local name = type(key) == 'string' and key or ('[%s]'):format(key)
    if not types[key] then
      local known = vim.tbl_keys(types)
      table.sort(known)
      local message = 'setup: unknown option %q; the options are %s'
      table.insert(found, message:format(name, table.concat(known, ', ')))
    elseif type(value) ~= types[key] then
      local message = 'setup: %s must be a %s, not a %s'
      table.insert(found, message:format(name, types[key], type(value)))
    end
  end
  for key in vim.spairs(type(options.settings) == 'table' and options.settings or {}) do
    if not settings[key] then
      local known = vim.tbl_keys(settings)
      table.sort(known)
      local message = 'setup: unknown setting %q; the settings are %s'
      table.insert(found, message:format(tostring(key), table.concat(known, ', ')))
    end
  end
  return found
end

---Takes options over; what is wrong is told and has no effect.
---@param options claudecluster.Options
---@return vim.lsp.Config # what of it is for the server
function M.take(options)
  for _, message in ipairs(wrong(options)) do
    require('claudecluster.client').notify(message, vim.log.levels.WARN)
  end
  ---@param key string
  local function valid(key)
    local value = options[key]
    return type(value) == types[key] and value or nil
  end
  if type(options.signs) == 'boolean' then
    M.signs = options.signs
  end
  if type(options.shown) == 'boolean' then
    require('claudecluster.pending').show(options.shown)
  end
  local chosen = {}
  for key, value in pairs(valid('settings') or {}) do
    if settings[key] then
      chosen[key] = value
    end
  end
  local config = vim.deepcopy(valid('lsp') or {})
  config.cmd = valid('cmd') or config.cmd
  if next(chosen) then
    config.settings =
      vim.tbl_deep_extend('force', config.settings or {}, { claudecluster = chosen })
  end
  return config
end

return M
