class Constraint: pass
