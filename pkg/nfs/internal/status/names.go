package status

import "syscall"

type meaning struct {
	name  string
	errno syscall.Errno // 0: EIO
}

// words say what a status means where its name does not, and what to do about it; "" where the name is enough.
func (c Code) words() string {
	if _, known := meanings[c]; !known && c != OK {
		return "a status that the RFCs do not have: the server's log may say more"
	}
	switch c {
	case IO, ServerFault:
		return "the server had an error of its own: its log says more"
	case NoSpace:
		return "the export is full"
	case Quota:
		return "a quota on the server is used up"
	case ReadOnly:
		return "the export is read-only: export it with rw"
	case Resource:
		return "the server is short of memory or of something else: its log says more"
	case Moved, LeaseMoved:
		return "the export has moved to another server: use that server"
	case BadOwner:
		return "the server does not take numbers for owners: allow numeric owners there, e.g. nfs4_disable_idmapping=Y or Allow_Numeric_Owners"
	case ClientIDInUse:
		return "another client uses our name: two processes have been given one identity"
	}
	return ""
}

// meanings has every status of RFC 1813, RFC 8881, RFC 7862 and RFC 8276.
var meanings = map[Code]meaning{
	1:     {"PERM", syscall.EPERM},
	2:     {"NOENT", syscall.ENOENT},
	5:     {"IO", syscall.EIO},
	6:     {"NXIO", syscall.ENXIO},
	13:    {"ACCESS", syscall.EACCES},
	17:    {"EXIST", syscall.EEXIST},
	18:    {"XDEV", syscall.EXDEV},
	19:    {"NODEV", syscall.ENODEV},
	20:    {"NOTDIR", syscall.ENOTDIR},
	21:    {"ISDIR", syscall.EISDIR},
	22:    {"INVAL", syscall.EINVAL},
	27:    {"FBIG", syscall.EFBIG},
	28:    {"NOSPC", syscall.ENOSPC},
	30:    {"ROFS", syscall.EROFS},
	31:    {"MLINK", syscall.EMLINK},
	63:    {"NAMETOOLONG", syscall.ENAMETOOLONG},
	66:    {"NOTEMPTY", syscall.ENOTEMPTY},
	69:    {"DQUOT", syscall.EDQUOT},
	70:    {"STALE", syscall.ESTALE},
	71:    {"REMOTE", syscall.EREMOTE},
	10001: {"BADHANDLE", syscall.ESTALE},
	10002: {"NOT_SYNC", 0},
	10003: {"BAD_COOKIE", 0},
	10004: {"NOTSUPP", syscall.ENOTSUP},
	10005: {"TOOSMALL", syscall.EINVAL},
	10006: {"SERVERFAULT", 0},
	10007: {"BADTYPE", syscall.EINVAL},
	10008: {"DELAY", syscall.EAGAIN},
	10009: {"SAME", 0},
	10010: {"DENIED", 0},
	10011: {"EXPIRED", 0},
	10012: {"LOCKED", syscall.EBUSY},
	10013: {"GRACE", syscall.EAGAIN},
	10014: {"FHEXPIRED", syscall.ESTALE},
	10015: {"SHARE_DENIED", syscall.EBUSY},
	10016: {"WRONGSEC", syscall.EACCES},
	10017: {"CLID_INUSE", 0},
	10018: {"RESOURCE", syscall.ENOMEM},
	10019: {"MOVED", 0},
	10020: {"NOFILEHANDLE", 0},
	10021: {"MINOR_VERS_MISMATCH", 0},
	10022: {"STALE_CLIENTID", 0},
	10023: {"STALE_STATEID", 0},
	10024: {"OLD_STATEID", 0},
	10025: {"BAD_STATEID", 0},
	10026: {"BAD_SEQID", 0},
	10027: {"NOT_SAME", 0},
	10028: {"LOCK_RANGE", 0},
	10029: {"SYMLINK", syscall.ELOOP},
	10030: {"RESTOREFH", 0},
	10031: {"LEASE_MOVED", 0},
	10032: {"ATTRNOTSUPP", syscall.ENOTSUP},
	10033: {"NO_GRACE", 0},
	10034: {"RECLAIM_BAD", 0},
	10035: {"RECLAIM_CONFLICT", 0},
	10036: {"BADXDR", 0},
	10037: {"LOCKS_HELD", 0},
	10038: {"OPENMODE", 0},
	10039: {"BADOWNER", syscall.EPERM},
	10040: {"BADCHAR", syscall.EINVAL},
	10041: {"BADNAME", syscall.EINVAL},
	10042: {"BAD_RANGE", 0},
	10043: {"LOCK_NOTSUPP", 0},
	10044: {"OP_ILLEGAL", 0},
	10045: {"DEADLOCK", 0},
	10046: {"FILE_OPEN", syscall.EBUSY},
	10047: {"ADMIN_REVOKED", syscall.EACCES},
	10048: {"CB_PATH_DOWN", 0},
	10049: {"BADIOMODE", 0},
	10050: {"BADLAYOUT", 0},
	10051: {"BAD_SESSION_DIGEST", 0},
	10052: {"BADSESSION", 0},
	10053: {"BADSLOT", 0},
	10054: {"COMPLETE_ALREADY", 0},
	10055: {"CONN_NOT_BOUND_TO_SESSION", 0},
	10056: {"DELEG_ALREADY_WANTED", 0},
	10057: {"BACK_CHAN_BUSY", 0},
	10058: {"LAYOUTTRYLATER", 0},
	10059: {"LAYOUTUNAVAILABLE", 0},
	10060: {"NOMATCHING_LAYOUT", 0},
	10061: {"RECALLCONFLICT", 0},
	10062: {"UNKNOWN_LAYOUTTYPE", 0},
	10063: {"SEQ_MISORDERED", 0},
	10064: {"SEQUENCE_POS", 0},
	10065: {"REQ_TOO_BIG", 0},
	10066: {"REP_TOO_BIG", 0},
	10067: {"REP_TOO_BIG_TO_CACHE", 0},
	10068: {"RETRY_UNCACHED_REP", 0},
	10069: {"UNSAFE_COMPOUND", 0},
	10070: {"TOO_MANY_OPS", 0},
	10071: {"OP_NOT_IN_SESSION", 0},
	10072: {"HASH_ALG_UNSUPP", 0},
	10074: {"CLIENTID_BUSY", 0},
	10075: {"PNFS_IO_HOLE", 0},
	10076: {"SEQ_FALSE_RETRY", 0},
	10077: {"BAD_HIGH_SLOT", 0},
	10078: {"DEADSESSION", 0},
	10079: {"ENCR_ALG_UNSUPP", 0},
	10080: {"PNFS_NO_LAYOUT", 0},
	10081: {"NOT_ONLY_OP", 0},
	10082: {"WRONG_CRED", syscall.EACCES},
	10083: {"WRONG_TYPE", syscall.EINVAL},
	10084: {"DIRDELEG_UNAVAIL", 0},
	10085: {"REJECT_DELEG", 0},
	10086: {"RETURNCONFLICT", 0},
	10087: {"DELEG_REVOKED", 0},
	10088: {"PARTNER_NOTSUPP", 0},
	10089: {"PARTNER_NO_AUTH", 0},
	10090: {"UNION_NOTSUPP", 0},
	10091: {"OFFLOAD_DENIED", 0},
	10092: {"WRONG_LFS", 0},
	10093: {"BADLABEL", 0},
	10094: {"OFFLOAD_NO_REQS", 0},
	10095: {"NOXATTR", syscall.ENODATA},
	10096: {"XATTR2BIG", syscall.E2BIG},
}
