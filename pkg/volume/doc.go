// Package volume says what a volume is: its ID, its class, its directory on the share, and what happens to it when deleted.
//
// It holds plain values that every other package may import; it imports only the standard library. Every string that
// comes from outside (a handle, a class parameter, a claim's annotation) becomes a value here, once, by one parser.
package volume
