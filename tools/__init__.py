"""The command line tools, one script a job; installed as minicaffe.tools for the command `minicaffe`."""
