"""How records move: the Faust app of each role, the record-batch transport, the column table, intake and the clock."""
