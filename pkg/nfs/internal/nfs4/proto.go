// Package nfs4 speaks version 4 of NFS, minor versions 0 to 2, as far as keeping volumes needs it.
//
// RFC 7530 describes 4.0, RFC 8881 4.1 and RFC 7862 4.2. The operations are the same; what differs is how the server knows
// us: by a session since 4.1 (session.go, setup.go, idle.go), and not at all in 4.0 but for making regular files (state.go).
package nfs4

// Program and procedure numbers (RFC 8881 section 16, RFC 7530 section 15).
const (
	program       = 100003
	version       = 4
	procCompound  = 1
	maxHandle     = 128 // NFS4_FHSIZE
	maxName       = 4096
	maxOwner      = 1024
	sessionIDSize = 16
)

// Operations (RFC 8881 section 16.2; OPEN_CONFIRM and SETCLIENTID are of RFC 7530 only).
const (
	opAccess          = 3
	opClose           = 4
	opCommit          = 5
	opCreate          = 6
	opGetattr         = 9
	opGetFH           = 10
	opLink            = 11
	opLookup          = 15
	opOpen            = 18
	opOpenConfirm     = 20
	opPutFH           = 22
	opPutRootFH       = 24
	opRead            = 25
	opReaddir         = 26
	opReadlink        = 27
	opRemove          = 28
	opRename          = 29
	opSaveFH          = 32
	opSetattr         = 34
	opSetClientID     = 35
	opConfirmClientID = 36
	opWrite           = 38
	opExchangeID      = 42
	opCreateSession   = 43
	opDestroySession  = 44
	opSequence        = 53
	opDestroyClientID = 57
	opReclaimComplete = 58
	opCopy            = 60 // this and the following since version 4.2
	opOffloadCancel   = 66
	opSeek            = 69
	opClone           = 71
	opGetXattr        = 72 // this and the following: RFC 8276
	opSetXattr        = 73
	opListXattrs      = 74
)

var opNames = map[uint32]string{
	opAccess: "ACCESS", opClose: "CLOSE", opCommit: "COMMIT", opLink: "LINK", opCreate: "CREATE", opGetattr: "GETATTR", opGetFH: "GETFH", opLookup: "LOOKUP",
	opOpen: "OPEN", opOpenConfirm: "OPEN_CONFIRM", opPutFH: "PUTFH", opPutRootFH: "PUTROOTFH", opRead: "READ", opReaddir: "READDIR", opReadlink: "READLINK",
	opRemove: "REMOVE", opRename: "RENAME", opSaveFH: "SAVEFH", opSetattr: "SETATTR", opSetClientID: "SETCLIENTID", opConfirmClientID: "SETCLIENTID_CONFIRM", opWrite: "WRITE",
	opExchangeID: "EXCHANGE_ID", opCreateSession: "CREATE_SESSION", opDestroySession: "DESTROY_SESSION",
	opSequence: "SEQUENCE", opDestroyClientID: "DESTROY_CLIENTID", opReclaimComplete: "RECLAIM_COMPLETE",
	opCopy: "COPY", opOffloadCancel: "OFFLOAD_CANCEL", opSeek: "SEEK", opClone: "CLONE",
	opGetXattr: "GETXATTR", opSetXattr: "SETXATTR", opListXattrs: "LISTXATTRS",
}

// Values inside operations.
const (
	typeRegular   = 1 // nfs_ftype4
	typeDirectory = 2
	typeBlock     = 3
	typeChar      = 4
	typeLink      = 5
	typeSocket    = 6
	typeFIFO      = 7

	openAccessWrite = 2
	openWantNoDeleg = 0x400 // not in 4.0
	openCreate      = 1
	createGuarded   = 1
	claimNull       = 0
	openMustConfirm = 2 // flag of the answer, in 4.0

	writeUnstable = 0
	writeFileSync = 2

	seekData = 0
	seekHole = 1

	delegateRead    = 1
	delegateWrite   = 2
	delegateNoneExt = 3
)
