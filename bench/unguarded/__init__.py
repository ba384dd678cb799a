"""The same stack without what makes it safe, to measure what that costs. Nothing of the product imports it.

No job record, stream log, lease, fence, idempotency, order or record in Postgres: a message is pushed to a list, its
reply published, and whatever is lost is lost. Rows of what was said are stored as ever.
"""
