-- Starting the server, on every version of Neovim that is supported.

local M = {}

local NAME = 'claudecluster'

---@type vim.lsp.Config|{}
local overrides = {}

---Whether Neovim has |vim.lsp.enable()|: 0.10 has not.
function M.is_native()
  return vim.fn.has('nvim-0.11') == 1
end

---What the server is started with.
---@return vim.lsp.Config
function M.config()
  if M.is_native() then
    local configs = vim.lsp.config --[[@as table<string, vim.lsp.Config>]]
    return configs[NAME]
  end
  local shipped = dofile(vim.api.nvim_get_runtime_file('lsp/claudecluster.lua', false)[1])
  return vim.tbl_deep_extend('force', shipped, overrides)
end

---0.10: what |vim.lsp.enable()| does.
---@param buffer integer
local function start(buffer)
  if vim.bo[buffer].buftype ~= '' or vim.api.nvim_buf_get_name(buffer) == '' then
    return
  end
  local config = M.config()
  -- Here as names alone: lists of them are newer than 0.10.
  local markers = config.root_markers --[[@as string[] ]]
  local root = vim.fs.root(buffer, markers)
  if root then
    config.name = NAME
    config.root_dir = root
    vim.lsp.start(config --[[@as vim.lsp.ClientConfig]], { bufnr = buffer })
  end
end

---@param config vim.lsp.Config
function M.enable(config)
  if M.is_native() then
    vim.lsp.config(NAME, config)
    vim.lsp.enable(NAME)
    return
  end
  overrides = vim.tbl_deep_extend('force', overrides, config)
  vim.api.nvim_create_autocmd('FileType', {
    group = vim.api.nvim_create_augroup('claudecluster.server', {}),
    callback = function(args)
      start(args.buf)
    end,
  })
  for _, buffer in ipairs(vim.api.nvim_list_bufs()) do
    if vim.api.nvim_buf_is_loaded(buffer) and vim.bo[buffer].filetype ~= '' then
      start(buffer)
    end
  end
end

---@return boolean
function M.is_enabled()
  if M.is_native() then
    return vim.lsp.is_enabled(NAME)
  end
  return vim.fn.exists('#claudecluster.server#FileType') == 1
end

return M
