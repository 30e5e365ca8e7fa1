---@meta
-- What the server sends, as far as this plugin reads it. The whole is in `protocol/generated/protocol.ts`.

---@class claudecluster.Provenance
---@field task string
---@field title string
---@field attempt integer
---@field why? string

---@class claudecluster.Word
---@field kind 'same'|'removed'|'added'
---@field text string

---@class claudecluster.Conflict
---@field base string
---@field mine string
---@field theirs string

---@class claudecluster.Hunk
---@field id string
---@field path string relative to the workspace
---@field kind 'create'|'modify'|'delete'|'rename'|'mode'
---@field whole boolean it is decided with its file
---@field status 'clean'|'conflict'
---@field held? string[] why it lands only when it is named
---@field runs? string which program runs the file, and when
---@field startLine integer counted from 0
---@field endLine integer one past the last
---@field oldText string
---@field newText string
---@field words? claudecluster.Word[]
---@field conflict? claudecluster.Conflict
---@field mineBy? claudecluster.Provenance[] who made the other side of a conflict, where tasks did
---@field minePending? boolean that side is proposed as well, and not there
---@field merged? string what is there and what is proposed, merged word by word
---@field provenance claudecluster.Provenance[]

---@class claudecluster.Document
---@field uri string
---@field version? integer
---@field hunks claudecluster.Hunk[]

---@class claudecluster.Error
---@field kind string
---@field message string
---@field hint? string

---@class claudecluster.HunkCounts
---@field pending integer
---@field landed integer
---@field rejected integer
---@field conflicts integer

---@class claudecluster.Attempt
---@field id integer
---@field startedAt integer milliseconds
---@field endedAt? integer
---@field stop? string
---@field summary string
---@field usage { costUsd: number }

---@class claudecluster.Task
---@field id string
---@field title string
---@field state string
---@field dependsOn string[]
---@field attempts claudecluster.Attempt[]
---@field changed string[]

---@class claudecluster.Goal
---@field id string
---@field workspace string
---@field prompt string
---@field state string
---@field tasks integer
---@field succeeded integer
---@field running integer
---@field hunks claudecluster.HunkCounts
---@field costUsd number
---@field submittedAt integer milliseconds
---@field updatedAt integer milliseconds
---@field error? claudecluster.Error
---@field tasksDetail? claudecluster.Task[] once its details have come
---@field gates? { command: string, passed: boolean, output: string }[]

---@class claudecluster.Permission
---@field id string
---@field goalId string
---@field taskIds string[]
---@field tool string
---@field detail string
---@field kind? string
---@field askedAt integer milliseconds

---@class claudecluster.Selection
---@field uri string
---@field range? { startLine: integer, endLine: integer } counted from 0, the end exclusive
