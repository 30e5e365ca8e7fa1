---@meta
-- What this plugin uses of luv (`vim.uv`), which Neovim's own annotations name and leave out.

---@class uv.uv_timer_t
local timer = {}

---@param timeout integer milliseconds
---@param again integer milliseconds
---@param callback fun()
function timer:start(timeout, again, callback) end

function timer:stop() end

function timer:close() end

---@class uv
---@field new_timer fun(): uv.uv_timer_t?
---@field fs_stat fun(path: string): table?
---@field gettimeofday fun(): integer, integer seconds, and microseconds
