package config

// Anomaly is what a node found of a target. A node reports all at once.
type Anomaly struct {
	TargetGroup string `json:"targetGroup"` // ARN
	Target      string `json:"target"`      // Target.ID
	Port        uint16 `json:"port"`
	Anomalous   bool   `json:"anomalous"`
	Mitigated   bool   `json:"mitigated"` // the target is given less than its share
}

// MaxAnomalies bounds a report.
const MaxAnomalies = 100_000
