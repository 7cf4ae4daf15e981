// Package conversation keeps the sequences of conversations when nothing is computed for them, in the
// cache and in files, and finds by its tokens how much of a prompt is computed already.
// docs/conversations.md has the rules.
//
// Its nouns:
//
//   - A Store has the conversations of one engine.
//   - A Conversation is a sequence and what is known of it. It is busy while something is computed for
//     it, and idle otherwise.
//   - A record says of a conversation that has files what outlives the process: ID, name, pin, and where its
//     files are. It is in a file of its own, written whole or not at all.
//   - An Export is the file of a session that goes on with a conversation.
//   - A Prompt is tokens that are to be computed behind what is there of them.
//   - A Found says what was there, and where the prompt left it.
//
// A conversation goes through these files: find.go looks for the one that a prompt continues, store.go
// takes it, copy.go decides how a prompt goes on from its middle, and put.go puts it back. writer.go writes
// it to files.go beside the steps, and room.go gives up those that have been idle for longest. batch.go
// joins that with a batch, and list.go says what there is. remember.go keeps the records of record.go in
// records.go, remove.go removes files, and export.go writes those of sessions.
package conversation
