package bpf

import "github.com/cilium/ebpf"

// Load returns the embedded object: the program and the tables, as they are
// before a kernel has seen them.
func Load() (*ebpf.CollectionSpec, error) { return loadDp() }

// Program is the name of the packet program in the object.
const Program = dpProgIsthmus

// Names of the tables in the object. Scratch holds nothing from one packet to
// the next.
const (
	MapDetails    = dpMapDetails
	MapDrops      = dpMapDrops
	MapENIs       = dpMapEnis
	MapEndpoints  = dpMapEndpoints
	MapEpoch      = dpMapEpoch
	MapFlows      = dpMapFlows
	MapListeners  = dpMapListeners
	MapMappings   = dpMapMappings
	MapMembers    = dpMapMembers
	MapRanges     = dpMapRanges
	MapRoutes     = dpMapRoutes
	MapRules      = dpMapRules
	MapScratch    = dpMapScratch
	MapSources    = dpMapSources
	MapTargetSets = dpMapTargetSets
)

// The structures and enums of types.h, where they are explained.
type (
	Addr          = dpAddr
	Detail        = dpDetail
	DropKey       = dpDropKey
	DropReason    = dpDropReason
	ENI           = dpEni
	ENIFlags      = dpEniFlags
	ENIKind       = dpEniKind
	Endpoint      = dpEndpoint
	EpochSlot     = dpEpochSlot
	Flow          = dpFlow
	FlowFlags     = dpFlowFlags
	FlowKey       = dpFlowKey
	Listener      = dpListener
	ListenerFlags = dpListenerFlags
	ListenerKey   = dpListenerKey
	MappingKey    = dpMappingKey
	MemberKey     = dpMemberKey
	Range         = dpRange
	RangeKey      = dpRangeKey
	Route         = dpRoute
	RouteKey      = dpRouteKey
	RouteKind     = dpRouteKind
	Rule          = dpRule
	RuleKey       = dpRuleKey
	SourceKey     = dpSourceKey
	Target        = dpTarget
)

// What an ENI is.
const (
	ENIHost         = dpEniKindENI_HOST
	ENILoadBalancer = dpEniKindENI_LOAD_BALANCER
	ENIEndpoint     = dpEniKindENI_ENDPOINT
	ENINATSource    = dpEniKindENI_NAT_SOURCE
	ENINAT          = dpEniKindENI_NAT
)

// Flags of an ENI.
const (
	ENIAvailable   = dpEniFlagsENI_AVAILABLE
	ENIEnforce     = dpEniFlagsENI_ENFORCE
	ENIEgressOpen  = dpEniFlagsENI_EGRESS_OPEN
	ENIIngressOpen = dpEniFlagsENI_INGRESS_OPEN
	ENIReversePath = dpEniFlagsENI_REVERSE_PATH
)

// Meanings of a route.
const (
	RouteLocal     = dpRouteKindROUTE_LOCAL
	RouteBlackhole = dpRouteKindROUTE_BLACKHOLE
	RouteInternet  = dpRouteKindROUTE_INTERNET
	RouteInterface = dpRouteKindROUTE_INTERFACE
)

// Flags of a listener.
const (
	ListenerPreserveClient = dpListenerFlagsLISTENER_PRESERVE_CLIENT
	ListenerProxy          = dpListenerFlagsLISTENER_PROXY
)

// Flags of a flow.
const (
	FlowReverse    = dpFlowFlagsFLOW_REVERSE
	FlowTranslated = dpFlowFlagsFLOW_TRANSLATED
	FlowTrackedSrc = dpFlowFlagsFLOW_TRACKED_SRC
	FlowTrackedDst = dpFlowFlagsFLOW_TRACKED_DST
	FlowFIN        = dpFlowFlagsFLOW_FIN
	FlowRST        = dpFlowFlagsFLOW_RST
	FlowReplied    = dpFlowFlagsFLOW_REPLIED
	FlowDetailed   = dpFlowFlagsFLOW_DETAILED
	FlowProxied    = dpFlowFlagsFLOW_PROXIED
	FlowPreamble   = dpFlowFlagsFLOW_PREAMBLE
)

// Indices of the table epoch.
const (
	EpochCurrent = dpEpochSlotEPOCH_CURRENT
	EpochPending = dpEpochSlotEPOCH_PENDING
)
