"""The teacher: engines that answer requests, and the store that keeps every answer so that none is bought
twice.

`asking.Teacher` is the way in; stages need nothing else from here but `requests.Request`.
"""
