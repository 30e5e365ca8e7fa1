-- Files in windows.

local M = {}

---Shows a file in the current window.
---@param path string
function M.open(path)
  local buffer = vim.fn.bufadd(path)
  if vim.api.nvim_buf_is_loaded(buffer) then
    -- To edit it again would close it for the server, and what lands meanwhile would land in the file.
    vim.api.nvim_win_set_buf(0, buffer)
  else
    vim.cmd.edit(vim.fn.fnameescape(path))
  end
end

return M
