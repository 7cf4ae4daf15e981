// Package page is the page at /: a chat with the model, and a picture of where the K/V of each
// conversation are. It is plain HTML, CSS and JavaScript, embedded, without a build step, and loads
// nothing from elsewhere. It speaks to the server as any client does.
//
// Its scripts, one noun each: conversation.js has messages and their branches, stream.js reads an
// answer as it comes, text.js shows text, tiers.js draws where bytes are, and app.js joins them.
package page
