package service

import (
	"encoding/json"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/chat"
)

// Request is what a client wants generated.
type Request struct {
	// Chat is a conversation that the model is to continue; nil: Prompt is continued.
	Chat *Chat
	// Prompt are tokens that are continued as they are.
	Prompt []int32

	// Config says how. MaxNewTokens is bounded by what the context has room for beside the other texts
	// of the request; 0: as many. Grammar is the service's to set.
	Config ebb.GenerationConfig
	// Grammar is a grammar in GBNF that the new text follows. "": none.
	Grammar string
	// Schema is a JSON schema that the new text follows. nil: none. At most one of both is given.
	Schema json.RawMessage

	// NoLookup has no tokens guessed, whatever [Options.PromptLookup] says.
	NoLookup bool

	// PromptLogProbs asks how probable the tokens of the prompt are: [Answer.PromptTokens]. The whole
	// prompt is computed for that, and not kept.
	PromptLogProbs bool

	// Salt keeps conversations apart: what was computed for a request is used for those of the same
	// salt alone.
	Salt string
	// Conversation is what the client calls the conversation, if it does. It is a hint: tokens decide
	// what is used again.
	Conversation string
}

// Chat is a conversation as the model's chat template renders it.
type Chat struct {
	Messages []chat.Message
	Tools    []chat.Tool
	// Continue says that the last message is the beginning of the answer, which goes on behind it.
	Continue bool
	// Choice says whether the model has to call tools.
	Choice ToolChoice
	// Variables is a JSON object with more variables of the template; nil: none.
	Variables json.RawMessage
}

// ToolChoice says whether the model has to call tools.
type ToolChoice struct {
	Mode ToolMode
	Name string // of the tool that is to be called, once; "": any. With [ToolsRequired] alone
	// Single keeps a required answer to one call.
	Single bool
}

// ToolMode is how free the model is to call tools.
type ToolMode int

// The modes.
const (
	ToolsAuto     ToolMode = iota // the model decides
	ToolsNone                     // the model is shown no tools
	ToolsRequired                 // a grammar has the answer be a call
)
