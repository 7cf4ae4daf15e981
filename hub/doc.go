// Package hub downloads model files from the Hugging Face hub into its cache folder.
//
// [Parse] reads a name such as hf://owner/repo/model.gguf as a [Ref], and [Fetch] returns the path
// of that file on this machine: from the cache if it is there, else after downloading it. All parts
// of a split model are fetched.
//
// The cache is the one that the Python library huggingface_hub keeps, in the same places and under
// the same locks, so that both find each other's files:
//
//	models--owner--repo/blobs/SUM                 a file, by the checksum that the hub names for it
//	models--owner--repo/snapshots/COMMIT/NAME     a link to it
//	models--owner--repo/refs/REVISION             the commit that a branch or tag was at
//	models--owner--repo/blobs/SUM.incomplete      what there is of a download that was interrupted
//	.locks/models--owner--repo/SUM.lock           held while a file is downloaded
//
// A download that was interrupted goes on where it ended, in another process too, and every file is
// checked against its checksum (SHA-256, or git's SHA-1 of small files) before it gets its name.
// The variables HF_ENDPOINT, HF_HOME, HF_HUB_CACHE, HF_TOKEN, HF_TOKEN_PATH and HF_HUB_OFFLINE mean
// what they mean there.
package hub
