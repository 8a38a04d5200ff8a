"""What travels: records, topics, headers and the engagement state's codec. Imports nothing of ours."""
