// Package ollama translates Ollama's API: chats and texts (/api/chat, /api/generate) and what programs
// ask of models (/api/version, /api/tags, /api/ps, /api/show).
//
// A prompt that is longer than the context is an error, and never cut: num_ctx chooses no context. The
// defaults of sampling are Ollama's, but for repeat_penalty, which penalises nothing unless a request
// says so. Options that say how a model is loaded (num_gpu, num_thread, keep_alive and their kin) are
// ignored: the server's flags say that.
package ollama
